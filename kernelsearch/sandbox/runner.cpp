// The untrusted side: holds one candidate's shared object and calls it when told to. It knows neither expected values,
// nor seeds, nor the clock, and reports nothing but "done".
//
//   runner LIBGOMP INPUTS_FD INPUTS_BYTES OUTPUTS_FD OUTPUTS_BYTES ARTIFACT_FD COMMAND_FD RESPONSE_FD MEMORY CPU_S
//
// The process that the judge starts only supervises: it makes namespaces and forks the runner into them, tells the
// judge its process id, and ends as it ends. Order matters in the runner: trusted libraries and the shared memory are
// mapped first, then it gives up files, network, processes, privileges and the clock, and reports what holds. Only when
// the judge then names the functions is the candidate loaded: its constructors already run inside. A system call
// outside the allow-list kills the process.
//
// Commands (8 bytes: kind, length) and their answers (8 bytes), after the supervisor's (8, process id):
//   4 START   the judge has pinned this process to its cores; answers 0 and the protections that hold
//   3 NAMES   followed by `length` bytes, newline-separated symbols; loads the candidate, answers how many were found
//   1 LOAD    followed by `length` bytes of calls; each call: function, count, then count x (kind, value)
//             kind 0: offset into the inputs, 1: offset into the outputs, 2: the number itself
//   2 GO      run the loaded calls once, in order
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdlib>

#include "confine.h"

using namespace confine;

namespace {

constexpr int NOT_LOADED = 96;
enum Kind : uint32_t { GREETING = 0, LOAD = 1, GO = 2, NAMES = 3, START = 4, PROCESS = 8 };

struct Message {
    uint32_t kind;
    uint32_t length;
};

bool read_exactly(int fd, void* to, size_t bytes) {
    char* at = static_cast<char*>(to);
    while (bytes > 0) {
        ssize_t got = read(fd, at, bytes);
        if (got <= 0) return false;
        at += got;
        bytes -= static_cast<size_t>(got);
    }
    return true;
}

void answer(int fd, uint32_t kind, uint32_t value) {
    Message message{kind, value};
    if (write(fd, &message, sizeof message) != sizeof message) _exit(0);
}

// A root directory that shows this process namespace and nothing else. Returns where its own descriptors are found.
const char* empty_root(bool is_separate) {
    if (!is_separate || mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) return nullptr;
    return chroot("/proc") == 0 && chdir("/") == 0 ? "/self/fd/" : nullptr;
}

// Reading the processor's clock faults, also where an instruction for it hides inside another one.
bool deny_clock() {
#if defined(__x86_64__)
    return prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0;
#else
    return false;
#endif
}

// Kills the process at any system call that is not listed; `clone` may only make threads.
bool allow_only(const std::vector<int>& calls, bool may_open) {
    Filter filter;
    filter.decide_by_argument(SYS_clone, BPF_JSET, 0x00010000 /* CLONE_THREAD */, Filter::ALLOW, Filter::KILL);
    filter.decide_by_argument(SYS_tgkill, BPF_JEQ, static_cast<uint32_t>(getpid()), Filter::ALLOW, Filter::KILL);  // abort()
    filter.decide_by_argument(SYS_prlimit64, BPF_JEQ, 0, Filter::ALLOW, Filter::KILL);  // a new thread asks for its stack size
    filter.decide(SYS_openat, may_open ? Filter::ALLOW : Filter::refuse(EACCES));  // malloc asks /sys for the CPUs
    for (int call : calls) filter.decide(call, Filter::ALLOW);
    return filter.install(Filter::KILL);
}

const std::vector<int> WHILE_RUNNING = {
    SYS_read,        SYS_write,          SYS_mmap,          SYS_munmap,          SYS_mprotect, SYS_mremap,
    SYS_brk,         SYS_madvise,        SYS_futex,         SYS_exit,            SYS_exit_group, SYS_rt_sigreturn,
    SYS_sched_yield, SYS_rt_sigprocmask, SYS_sigaltstack,   SYS_set_robust_list, SYS_rseq,     SYS_gettid,
    SYS_getpid,      SYS_rt_sigaction,   SYS_restart_syscall, SYS_sched_getaffinity, SYS_getrandom,
};

// What the dynamic loader needs besides, to map the artifact. Files are already out of reach.
std::vector<int> while_loading() {
    std::vector<int> calls = WHILE_RUNNING;
    for (int call : {SYS_newfstatat, SYS_fstat, SYS_close, SYS_pread64, SYS_lseek, SYS_getcwd, SYS_fcntl,
                     SYS_readlinkat, SYS_prctl, SYS_seccomp})
        calls.push_back(call);
    return calls;
}

struct Call {
    void (*function)(void* const*);
    std::vector<uint64_t> numbers;
    std::vector<void*> arguments;
};

struct Runner {
    char *inputs, *outputs;
    size_t input_bytes, output_bytes;
    int artifact_fd;
    std::string path;  // of its folder of descriptors, from its own root
    void* artifact;
    std::vector<void (*)(void* const*)> functions;
    std::vector<Call> calls;

    void open_artifact() {
        artifact = dlopen((path + std::to_string(artifact_fd)).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (artifact == nullptr) {
            dprintf(2, "load: %s\n", dlerror());
            _exit(NOT_LOADED);
        }
        close(artifact_fd);
        if (!allow_only(WHILE_RUNNING, false)) fail("seccomp");
    }

    uint32_t find(char* names) {
        if (artifact == nullptr) open_artifact();
        functions.clear();
        uint32_t found = 0;
        for (char* name = strtok(names, "\n"); name != nullptr; name = strtok(nullptr, "\n")) {
            functions.push_back(reinterpret_cast<void (*)(void* const*)>(dlsym(artifact, name)));
            found += functions.back() != nullptr;
        }
        return found;
    }

    void load(const std::vector<uint64_t>& words) {
        calls.clear();
        size_t at = 0;
        while (at + 2 <= words.size()) {
            size_t function = words[at++], count = words[at++];
            if (function >= functions.size() || at + 2 * count > words.size()) fail("malformed call");
            Call call{functions[function], std::vector<uint64_t>(count), std::vector<void*>(count)};
            for (size_t i = 0; i < count; i++, at += 2) {
                uint64_t kind = words[at], value = words[at + 1];
                if (kind == 0 && value <= input_bytes) call.arguments[i] = inputs + value;
                else if (kind == 1 && value <= output_bytes) call.arguments[i] = outputs + value;
                else if (kind == 2) call.numbers[i] = value;
                else fail("malformed argument");
            }
            calls.push_back(std::move(call));
        }
        for (Call& call : calls)
            for (size_t i = 0; i < call.arguments.size(); i++)
                if (call.arguments[i] == nullptr) call.arguments[i] = &call.numbers[i];
    }
};

void* map(int fd, size_t bytes, int protection) {
    void* found = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
    if (found == MAP_FAILED) fail("cannot map the shared memory");
    close(fd);
    return found;
}

uint32_t give_up_power(Runner& runner, uint32_t held, pid_t slot, rlim_t memory, rlim_t cpu_seconds) {
    const char* descriptors = empty_root((held & OWN_PROCESSES) != 0);
    if (descriptors != nullptr) held |= EMPTY_ROOT;
    runner.path = descriptors != nullptr ? descriptors : "/proc/self/fd/";
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 64);
    limit_processor_time(cpu_seconds);
    limit(RLIMIT_AS, memory);
    held |= LIMITS;
    if (change_user(slot)) {
        held |= OWN_USER;
        limit(RLIMIT_NPROC, 512);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // again: changing the user clears it
    drop_capabilities();
    if (Files().enforce()) held |= NO_FILES;
    if (deny_clock()) held |= NO_CLOCK;
    return allow_only(while_loading(), true) ? held | SYSTEM_CALLS : held;
}

// Forks the runner into namespaces of its own; the caller's process stays outside, tells who it is and ends as it ends.
uint32_t enter_namespaces(int commands, int responses) {
    const uint32_t held = separate();
    const int alive = held & OWN_PROCESSES ? start_first_process() : -1;
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        close(alive);
        return held;
    }
    answer(responses, PROCESS, static_cast<uint32_t>(child));
    close(commands);
    close(responses);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    end_like(status);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 11) fail("wrong arguments");
    auto number = [&](int i) { return strtoull(argv[i], nullptr, 10); };
    int commands = static_cast<int>(number(7)), responses = static_cast<int>(number(8));

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t slot = getpid();
    const uint32_t held = enter_namespaces(commands, responses);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Message message;
    if (!read_exactly(commands, &message, sizeof message) || message.kind != START) return 0;

    Runner runner{};
    runner.artifact_fd = static_cast<int>(number(6));
    runner.input_bytes = number(3);
    runner.output_bytes = number(5);
    if (argv[1][0] != '\0' && dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) == nullptr) fail(dlerror());
    runner.inputs = static_cast<char*>(map(static_cast<int>(number(2)), runner.input_bytes, PROT_READ));
    runner.outputs = static_cast<char*>(map(static_cast<int>(number(4)), runner.output_bytes, PROT_READ | PROT_WRITE));
    answer(responses, GREETING, give_up_power(runner, held, slot, number(9), number(10)));

    while (read_exactly(commands, &message, sizeof message)) {
        if (message.kind == LOAD) {
            std::vector<uint64_t> words(message.length / 8);
            if (!read_exactly(commands, words.data(), message.length)) break;
            runner.load(words);
        } else if (message.kind == GO) {
            for (const Call& call : runner.calls) call.function(call.arguments.data());
        } else if (message.kind == NAMES) {
            std::string names(message.length, '\0');
            if (!read_exactly(commands, names.data(), message.length)) break;
            answer(responses, NAMES, runner.find(names.data()));
            continue;
        } else {
            fail("unknown command");
        }
        answer(responses, message.kind, static_cast<uint32_t>(runner.calls.size()));
    }
    _exit(0);
}
