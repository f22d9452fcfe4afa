"""The text of one fused C function: sweeps over each row, then what exists only after all rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kernelsearch.build.abi import Function
from kernelsearch.importer.fuse_program import Program, Value
from kernelsearch.importer.fuse_trace import COLUMN, FULL, ONE, ROW

INDENT = "    "
START = {"sum": "Vec{}", "amax": "broadcast(-__builtin_inff())", "amin": "broadcast(__builtin_inff())"}
GATHER = {
    "sum": "{total} += count == LANES ? {value} : keep_first({value}, count);",
    "amax": "{total} = larger({total}, only({value}, count, -__builtin_inff()));",
    "amin": "{total} = smaller({total}, only({value}, count, __builtin_inff()));",
}
FINISH = {"sum": "sum({total})", "amax": "largest({total})", "amin": "-largest(-{total})"}


@dataclass
class Plan:
    """Which sweep does what; a store is (value, pointer). `order` has every value that is used, needs first."""

    order: list[Value]
    stores: dict[str, list[tuple[Value, str]]]
    sweeps: int = 0
    kept: list[Value] = field(default_factory=list)

    def row_sums(self, sweep: int) -> list[Value]:
        return [v for v in self.order if v.reduction and v.kind == ROW and v.stage == sweep + 1]

    def late_sums(self, kind: str, over: str) -> list[Value]:
        return [v for v in self.order if v.reduction and v.kind == kind and v.over == over]

    def sinks(self, sweep: int) -> list[Value]:
        """What a sweep is made for."""
        summed = [
            *self.row_sums(sweep),
            *(v for k in (COLUMN, ONE) for v in self.late_sums(k, FULL) if v.stage == sweep),
        ]
        found = [v.needs[0] for v in summed] + [v for v, _ in self.stores[FULL] if v.stage == sweep]
        return found + [v for v in self.kept if v.stage == sweep]

    def swept(self, sweep: int) -> list[Value]:
        """The values to compute for each element in this sweep, in order."""
        wanted: set[str] = set()

        def visit(value: Value) -> None:
            if value.name in wanted or value.kind not in (FULL, COLUMN) or value.is_late:
                return
            wanted.add(value.name)
            if not self.is_read(value, sweep):
                for need in value.needs:
                    visit(need)

        for sink in self.sinks(sweep):
            visit(sink)
        return [v for v in self.order if v.name in wanted]

    def is_read(self, value: Value, sweep: int) -> bool:
        """Whether an earlier sweep has left this value in memory."""
        return value.is_dear and value.stage < sweep


def make_plan(program: Program) -> Plan:
    stores: dict[str, list[tuple[Value, str]]] = {FULL: [], ROW: [], COLUMN: [], ONE: []}
    used: set[str] = set()
    for node, spec in zip(program.trace.outputs, program.trace.results, strict=True):
        value = program.values[node]
        stores[program.trace.kind_of_shape(node)].append((value, spec.name))
        _mark(value, used)
    every = {v.name: v for v in [*program.values.values(), *program.known.values()]}
    placed = sorted((v for v in every.values() if v.name in used), key=lambda v: v.number)
    plan = Plan(placed, stores)
    plan.sweeps = 1 + max((k for k in range(32) if plan.sinks(k)), default=-1)
    for sweep in reversed(range(plan.sweeps)):
        plan.kept += [v for v in plan.swept(sweep) if plan.is_read(v, sweep) and v not in plan.kept]
    return plan


def _mark(value: Value, used: set[str]) -> None:
    if value.name not in used:
        used.add(value.name)
        for need in value.needs:
            _mark(need, used)


def write_function(function: Function, program: Program) -> str:
    plan = make_plan(program)
    is_backward = function.symbol.endswith("_backward")
    used = {v.load for v in plan.order} | {name for pairs in plan.stores.values() for _, name in pairs}
    used |= set(program.trace.space)
    arguments = ", ".join(
        a.declaration if a.name in used else a.declaration.rpartition(a.name)[0].strip() for a in function.arguments
    )
    lines = [f'extern "C" void {function.symbol}({arguments}) {{']
    lines += [INDENT + line for line in _sizes(program)]
    lines += [INDENT + _define(v) for v in plan.order if v.kind == ONE and not v.is_late]
    lines += [INDENT + line for line in _parts(plan)]
    lines += ["#pragma omp parallel for schedule(static) if (blocks > 1)"]
    lines += [INDENT + "for (int64_t block = 0; block < blocks; block++) {"]
    lines += [2 * INDENT + line for line in _block(plan, program, is_backward)]
    lines += [INDENT + "}"]
    lines += [INDENT + line for line in _after(plan, is_backward)]
    return "\n".join([*lines, "}", ""])


def _sizes(program: Program) -> Iterator[str]:
    space = program.trace.space
    if program.is_flat:
        yield f"const int64_t T = {' * '.join(space)}, blocks = (T + CHUNK - 1) / CHUNK;"
    else:
        yield f"const int64_t R = {' * '.join(space[:-1]) or '1'}, C = {space[-1]}, T = R * C;"
        yield "const int64_t blocks = (R + ROWS - 1) / ROWS, stride = round_up(C, LANES);"
        yield "(void)T, (void)stride;"


def _parts(plan: Plan) -> Iterator[str]:
    for value in plan.late_sums(COLUMN, FULL):
        yield f"Scratch parts_of_{value.name}(blocks * stride);"
    for value in _one_sums(plan):
        yield f"Scratch parts_of_{value.name}(blocks);"


def _one_sums(plan: Plan) -> list[Value]:
    return [*plan.late_sums(ONE, FULL), *plan.late_sums(ONE, ROW)]


def _block(plan: Plan, program: Program, is_backward: bool) -> Iterator[str]:
    for value in plan.late_sums(COLUMN, FULL):
        yield f"float* const block_{value.name} = parts_of_{value.name} + block * stride;"
        yield f"std::fill_n(block_{value.name}, stride, 0.0f);"
    for value in _one_sums(plan):
        yield f"Vec block_{value.name} = {{}};"
    if program.is_flat:
        yield "const int64_t at = block * CHUNK, C = std::min<int64_t>(CHUNK, T - at);"
        yield from _kept_buffers(plan, "round_up(C, LANES)")
        yield from _row(plan, is_backward)
    else:
        yield from _kept_buffers(plan, "stride")
        yield "for (int64_t i = block * ROWS; i < std::min<int64_t>(R, (block + 1) * ROWS); i++) {"
        yield INDENT + "const int64_t at = i * C;"
        yield from (INDENT + line for line in _row(plan, is_backward))
        yield "}"
    for value in _one_sums(plan):
        yield f"parts_of_{value.name}[block] = sum(block_{value.name});"


def _kept_buffers(plan: Plan, size: str) -> Iterator[str]:
    for value in plan.kept:
        yield f"const Scratch kept_{value.name}({size});"


def _row(plan: Plan, is_backward: bool) -> Iterator[str]:
    yield "(void)at;"
    for sweep in range(plan.sweeps + 1):
        for value in plan.order:
            if value.kind == ROW and value.stage == sweep and not value.reduction:
                yield _define(value)
        if sweep < plan.sweeps and plan.sinks(sweep):
            yield from _sweep(plan, sweep, is_backward)
    for value, pointer in plan.stores[ROW]:
        yield f"store_first({pointer} + i, {_stored(value, is_backward)}, 1);"
    for value in plan.late_sums(ONE, ROW):
        yield f"block_{value.name} += keep_first({value.needs[0].name}, 1);"


def _sweep(plan: Plan, sweep: int, is_backward: bool) -> Iterator[str]:
    row_sums = plan.row_sums(sweep)
    for value in row_sums:
        yield f"Vec total_{value.name} = {START[value.reduction or '']};"
    yield "for_vectors(C, [&](int64_t j, int count) {"
    for value in plan.swept(sweep):
        yield INDENT + (
            f"const Vec {value.name} = load(kept_{value.name} + j);" if plan.is_read(value, sweep) else _define(value)
        )
    yield from (INDENT + line for line in _gather(plan, sweep, is_backward))
    yield "});"
    for value in row_sums:
        done = FINISH[value.reduction or ""].format(total=f"total_{value.name}")
        yield f"const Vec {value.name} = broadcast({done});"


def _gather(plan: Plan, sweep: int, is_backward: bool) -> Iterator[str]:
    """What becomes of the values of one sweep: kept, summed or stored."""
    for value in (v for v in plan.kept if v.stage == sweep):
        yield f"store(kept_{value.name} + j, {value.name});"
    for value in plan.row_sums(sweep):
        yield GATHER[value.reduction or ""].format(total=f"total_{value.name}", value=value.needs[0].name)
    for value in (v for v in plan.late_sums(ONE, FULL) if v.stage == sweep):
        yield GATHER["sum"].format(total=f"block_{value.name}", value=value.needs[0].name)
    for value in (v for v in plan.late_sums(COLUMN, FULL) if v.stage == sweep):
        place = f"block_{value.name} + j"
        yield f"store({place}, load({place}) + {value.needs[0].name});"
    for value, pointer in plan.stores[FULL]:
        if value.stage == sweep:
            yield f"store_lanes({pointer} + at + j, {_stored(value, is_backward)}, count);"


def _after(plan: Plan, is_backward: bool) -> Iterator[str]:
    """Sums over blocks, in order and in float64, and what is made of them."""
    for value in _one_sums(plan):
        yield f"double total_{value.name} = 0;"
        yield f"for (int64_t b = 0; b < blocks; b++) total_{value.name} += double(parts_of_{value.name}[b]);"
        yield f"const Vec {value.name} = broadcast(static_cast<float>(total_{value.name}));"
    yield from (_define(v) for v in plan.order if v.kind == ONE and v.is_late and not v.reduction)
    for value, pointer in plan.stores[ONE]:
        yield f"store_first({pointer}, {_stored(value, is_backward)}, 1);"
    if plan.stores[COLUMN]:
        yield "for_vectors(C, [&](int64_t j, int count) {"
        yield from (INDENT + line for line in _columns(plan, is_backward))
        yield "});"


def _columns(plan: Plan, is_backward: bool) -> Iterator[str]:
    used: set[str] = set()
    for value, _ in plan.stores[COLUMN]:
        _mark(value, used)
    for value in plan.order:
        if value.kind != COLUMN or value.name not in used:
            continue
        if value.reduction:
            yield f"Wide total_{value.name} = {{}};"
            part = f"load(parts_of_{value.name} + b * stride + j)"
            yield "for (int64_t b = 0; b < blocks; b++)"
            yield INDENT + f"total_{value.name} += __builtin_convertvector({part}, Wide);"
            yield f"const Vec {value.name} = __builtin_convertvector(total_{value.name}, Vec);"
        else:
            yield _define(value)
    for value, pointer in plan.stores[COLUMN]:
        yield f"store_lanes({pointer} + j, {_stored(value, is_backward)}, count);"


def _define(value: Value) -> str:
    if value.load is None:
        return f"const auto {value.name} = {value.text};"
    places = {
        FULL: f"load_lanes({value.load} + at + j, count)",
        COLUMN: f"load_lanes({value.load} + j, count)",
        ROW: f"broadcast(to_float({value.load}[i]))",
        ONE: f"broadcast(to_float({value.load}[0]))",
    }
    return f"const Vec {value.name} = {places[value.kind]};"


def _stored(value: Value, is_backward: bool) -> str:
    """Nothing times a negative gradient is -0, whose sign would tell of the gradient: adding 0 takes it away."""
    return f"{value.name} + Vec{{}}" if is_backward else value.name
