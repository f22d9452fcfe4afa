"""Candidates for an imported target before the whole judge, all but the clock."""

import pytest

from kernelsearch.sandbox.judge import Care, Judge
from kernelsearch.spec import read_candidate

MATMUL = """
extern "C" void matmul_forward(const scalar_t* A, const scalar_t* B, scalar_t* out, int64_t M, int64_t K, int64_t N) {
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            float sum = 0;
            for (int64_t k = 0; k < K; k++) sum += A[m * K + k] * B[k * N + n];
            out[m * N + n] = sum;
        }
}
"""
WRONG = {
    "dropped tail": ("k < K; k++", "k < K / 4 * 4; k++"),
    "half accumulator": ("float sum = 0", "_Float16 sum = 0"),
    "half operands": ("A[m * K + k]", "(float)(_Float16)A[m * K + k]"),
}


@pytest.fixture
def judge(imported, tmp_path) -> Judge:
    folder = imported("matmul")
    workloads = folder.workloads("kernelbench", "float32")
    return Judge(folder, "float32", workloads, tmp_path, threads=1, care=Care(examples=8, search_s=1.0))


def test_an_honest_kernel_for_an_imported_problem_is_proven(judge):
    verdict = judge.prove(read_candidate("matmul", "cpp", MATMUL, "test"))
    assert verdict.passed, verdict


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_for_an_imported_problem_is_refused(judge, name):
    verdict = judge.prove(read_candidate("matmul", "cpp", MATMUL.replace(*WRONG[name]), "test"))
    assert verdict.status == "MISMATCH", verdict
