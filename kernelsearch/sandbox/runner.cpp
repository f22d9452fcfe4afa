// The untrusted side: holds one candidate's shared object and calls it when told to. It knows neither expected values,
// nor seeds, nor the clock, and reports nothing but "done".
//
//   runner LIBGOMP INPUTS_FD INPUTS_BYTES OUTPUTS_FD OUTPUTS_BYTES ARTIFACT_FD COMMAND_FD RESPONSE_FD MEMORY CPU_S
//
// Order matters: trusted libraries and the shared memory are mapped first, then the process gives up files, network,
// processes and privileges (Landlock, seccomp, limits), and only then is the candidate loaded: its constructors
// already run inside. A system call outside the allow-list kills the process.
//
// Commands (8 bytes: kind, length) and their answers (8 bytes):
//   1 LOAD    followed by `length` bytes of calls; each call: function, count, then count x (kind, value)
//             kind 0: offset into the inputs, 1: offset into the outputs, 2: the number itself
//   2 GO      run the loaded calls once, in order
//   3 NAMES   followed by `length` bytes, newline-separated symbols; answers how many were found
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

#if defined(__x86_64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_AARCH64;
#else
#error "the runner's system-call filter knows x86-64 and AArch64 only"
#endif

// Bits of the greeting, read by the judge: which protections hold.
enum Protection : uint32_t { UNPRIVILEGED = 1, LANDLOCK = 2, SECCOMP = 4, LIMITS = 8 };

struct Message {
    uint32_t kind;
    uint32_t length;
};

[[noreturn]] void fail(const char* what) {
    dprintf(2, "runner: %s\n", what);
    _exit(97);
}

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

void limit(int resource, rlim_t value) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0) fail("getrlimit");
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value) value = now.rlim_max;
    now.rlim_cur = now.rlim_max = value;
    if (setrlimit(resource, &now) != 0) fail("setrlimit");
}

bool drop_user() {
    constexpr uid_t NOBODY = 65534;
    if (geteuid() != 0) return false;
    return setgroups(0, nullptr) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

// Denies every access to the file system. Files of the kernel's own (the sealed artifact) stay reachable.
bool deny_files() {
    constexpr long CREATE = 444, RESTRICT = 446;
    long abi = syscall(CREATE, nullptr, 0, 1);
    if (abi < 1) return false;
    uint64_t handled[2] = {abi >= 5 ? 0xffffu : abi >= 3 ? 0x7fffu : abi == 2 ? 0x3fffu : 0x1fffu, abi >= 4 ? 3u : 0u};
    long ruleset = syscall(CREATE, handled, abi >= 4 ? 16 : 8, 0);
    return ruleset >= 0 && syscall(RESTRICT, ruleset, 0) == 0 && close(static_cast<int>(ruleset)) == 0;
}

// Kills the process at any system call that is not listed; `clone` may only make threads.
bool allow_only(const std::vector<int>& calls, bool may_open) {
    constexpr uint32_t KILL = SECCOMP_RET_KILL_PROCESS, ALLOW = SECCOMP_RET_ALLOW;
    constexpr uint32_t ABSENT = SECCOMP_RET_ERRNO | ENOSYS;  // glibc then falls back to clone
    constexpr uint32_t REFUSED = SECCOMP_RET_ERRNO | EACCES;  // malloc asks /sys for the number of CPUs, and can do without
    std::vector<sock_filter> code = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, KILL),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, ABSENT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x00010000 /* CLONE_THREAD */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, ALLOW),
        BPF_STMT(BPF_RET | BPF_K, KILL),
    };
    const auto only_for = [&](int call, uint32_t first_argument) {
        code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 4));
        code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])));
        code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first_argument, 0, 1));
        code.push_back(BPF_STMT(BPF_RET | BPF_K, ALLOW));
        code.push_back(BPF_STMT(BPF_RET | BPF_K, KILL));
    };
    only_for(SYS_tgkill, static_cast<uint32_t>(getpid()));  // abort() signals itself
    only_for(SYS_prlimit64, 0);                              // a new thread asks for its own stack size
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, may_open ? ALLOW : REFUSED));
    for (int call : calls) {
        code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
        code.push_back(BPF_STMT(BPF_RET | BPF_K, ALLOW));
    }
    code.push_back(BPF_STMT(BPF_RET | BPF_K, KILL));
    sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

const std::vector<int> WHILE_RUNNING = {
    SYS_read,       SYS_write,          SYS_mmap,         SYS_munmap,          SYS_mprotect,       SYS_mremap,
    SYS_brk,        SYS_madvise,        SYS_futex,        SYS_exit,            SYS_exit_group,     SYS_rt_sigreturn,
    SYS_sched_yield, SYS_rt_sigprocmask, SYS_sigaltstack, SYS_set_robust_list, SYS_rseq,           SYS_gettid,
    SYS_getpid,     SYS_sched_getaffinity, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep,  SYS_getrandom,
    SYS_rt_sigaction, SYS_restart_syscall,
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
    void* artifact;
    std::vector<void (*)(void* const*)> functions;
    std::vector<Call> calls;

    uint32_t find(char* names) {
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

}  // namespace

int main(int argc, char** argv) {
    if (argc != 11) fail("wrong arguments");
    auto number = [&](int i) { return strtoull(argv[i], nullptr, 10); };
    int inputs_fd = static_cast<int>(number(2)), outputs_fd = static_cast<int>(number(4));
    int artifact_fd = static_cast<int>(number(6)), commands = static_cast<int>(number(7));
    int responses = static_cast<int>(number(8));
    Runner runner{};
    runner.input_bytes = number(3);
    runner.output_bytes = number(5);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argv[1][0] != '\0' && dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) == nullptr) fail(dlerror());
    void* inputs = mmap(nullptr, runner.input_bytes, PROT_READ, MAP_SHARED, inputs_fd, 0);
    void* outputs = mmap(nullptr, runner.output_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, outputs_fd, 0);
    if (inputs == MAP_FAILED || outputs == MAP_FAILED) fail("cannot map the shared memory");
    runner.inputs = static_cast<char*>(inputs);
    runner.outputs = static_cast<char*>(outputs);
    close(inputs_fd);
    close(outputs_fd);

    uint32_t protections = LIMITS;
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 64);
    limit(RLIMIT_CPU, number(10));
    limit(RLIMIT_AS, number(9));
    if (drop_user()) {
        protections |= UNPRIVILEGED;
        limit(RLIMIT_NPROC, 512);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // again: changing the user clears it
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
    if (deny_files()) protections |= LANDLOCK;
    if (allow_only(while_loading(), true)) protections |= SECCOMP;

    std::string path = "/proc/self/fd/" + std::to_string(artifact_fd);
    runner.artifact = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (runner.artifact == nullptr) {
        dprintf(2, "load: %s\n", dlerror());
        _exit(96);
    }
    if (!allow_only(WHILE_RUNNING, false)) protections &= ~static_cast<uint32_t>(SECCOMP);
    answer(responses, 0, protections);

    Message message;
    while (read_exactly(commands, &message, sizeof message)) {
        if (message.kind == 1) {
            std::vector<uint64_t> words(message.length / 8);
            if (!read_exactly(commands, words.data(), message.length)) break;
            runner.load(words);
        } else if (message.kind == 2) {
            for (const Call& call : runner.calls) call.function(call.arguments.data());
        } else if (message.kind == 3) {
            std::string names(message.length, '\0');
            if (!read_exactly(commands, names.data(), message.length)) break;
            answer(responses, 3, runner.find(names.data()));
            continue;
        } else {
            fail("unknown command");
        }
        answer(responses, message.kind, static_cast<uint32_t>(runner.calls.size()));
    }
    _exit(0);
}
