// How a process of ours gives up its power: namespaces, user id, limits, files (Landlock), system calls (seccomp).
//
// Shared by the runner, which holds a candidate, and the jail, which compiles one. Each step that a machine may lack
// answers whether it holds, as a bit that the judge reads; nothing here trusts the confined side afterwards.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

namespace confine {

#if defined(__x86_64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t ARCHITECTURE = AUDIT_ARCH_AARCH64;
#else
#error "the system-call filter knows x86-64 and AArch64 only"
#endif

// Read by the judge (sandbox/session.py, PROTECTIONS): which protections hold.
enum Protection : uint32_t {
    OWN_USER = 1, NO_FILES = 2, SYSTEM_CALLS = 4, LIMITS = 8, OWN_PROCESSES = 16, OWN_NETWORK = 32, EMPTY_ROOT = 64,
    NO_CLOCK = 128,
};
constexpr int OUR_FAULT = 97;

[[noreturn]] inline void fail(const char* what) {
    dprintf(2, "%s: %s\n", what, strerror(errno));
    _exit(OUR_FAULT);
}

inline void limit(int resource, rlim_t value) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0) fail("getrlimit");
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value) value = now.rlim_max;
    now.rlim_cur = now.rlim_max = value;
    if (setrlimit(resource, &now) != 0) fail("setrlimit");
}

// SIGXCPU at the limit, which says why; SIGKILL a second later, for who ignores that.
inline void limit_processor_time(rlim_t seconds) {
    limit(RLIMIT_CPU, seconds + 1);
    struct rlimit now;
    if (getrlimit(RLIMIT_CPU, &now) != 0) fail("getrlimit");
    if (now.rlim_cur > seconds) now.rlim_cur = seconds;
    if (setrlimit(RLIMIT_CPU, &now) != 0) fail("setrlimit");
}

inline void write_text(const char* path, const std::string& text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, text.data(), text.size()) < 0) errno = 0;  // the caller sees what it can do afterwards
    close(fd);
}

// The folders above `path`.
inline void make_folders(const std::string& path) {
    for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
        mkdir(path.substr(0, at).c_str(), 0755);
}

// Shows `path` at its place below `root`, or at another; what is absent stays absent.
inline void show(const std::string& path, const std::string& root, const std::string& place = "") {
    struct stat about;
    const std::string to = root + (place.empty() ? path : place);
    if (stat(path.c_str(), &about) != 0) return;
    make_folders(to);
    if (S_ISDIR(about.st_mode)) mkdir(to.c_str(), 0755);
    else close(open(to.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    if (mount(path.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) fail(path.c_str());
}

// New namespaces of every kind for this process's children. As an ordinary user that needs a user namespace.
inline uint32_t separate() {
    constexpr int ALL = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
    const std::string uid = std::to_string(geteuid()), gid = std::to_string(getegid());
    if (unshare(ALL) != 0) {
        // Root without privileges keeps its other users rather: a namespace with one user could not change to them.
        if (geteuid() == 0 || unshare(CLONE_NEWUSER | ALL) != 0) return 0;
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/uid_map", uid + " " + uid + " 1");
        write_text("/proc/self/gid_map", gid + " " + gid + " 1");
    }
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) fail("cannot make the mounts private");
    return OWN_PROCESSES | OWN_NETWORK;
}

// The first process of the new process namespace. It only waits: when the supervisor ends, however that happens, it
// ends too, and the kernel kills everything else in the namespace. The confined process is the second one, because the
// first ignores signals that its own end is read from (SIGABRT, SIGXCPU). Returns the descriptor that keeps it waiting,
// for the supervisor alone to hold.
inline int start_first_process() {
    int alive[2];
    if (pipe(alive) != 0) fail("pipe");
    pid_t first = fork();
    if (first < 0) fail("fork");
    if (first == 0) {
        dup2(alive[0], 0);
        syscall(SYS_close_range, 1u, ~0u, 0u);
        char byte;
        while (read(0, &byte, 1) < 0 && errno == EINTR) {}
        _exit(0);
    }
    close(alive[0]);
    return alive[1];
}

// Ends this process as a waited-for one ended, so that who waits for us reads the same status.
[[noreturn]] inline void end_like(int status) {
    if (WIFSIGNALED(status)) {
        limit(RLIMIT_CORE, 0);
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : OUR_FAULT);
}

// A user of its own for each confined process, so that two of them can neither signal nor trace each other.
inline bool change_user(pid_t slot) {
    if (geteuid() != 0 || setgroups(0, nullptr) != 0) return false;
    const auto number = static_cast<uid_t>(slot);
    for (uid_t user : {0x70000000u + number, 60001u + number % 5000u, 65534u})  // containers may know few users
        if (setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0) return true;
    return false;
}

inline uid_t user_of(pid_t slot) { return 0x70000000u + static_cast<uid_t>(slot); }

inline void drop_capabilities() {
    uint32_t header[2] = {0x20080522 /* version 3 */, 0}, none[6] = {};
    if (syscall(SYS_capset, header, none) != 0) fail("capset");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
}

// Landlock: no access to the file system, TCP, or signals and abstract sockets outside, but for what is allowed.
class Files {
  public:
    enum Scope { NOTHING, NETWORK };  // what is left: no TCP, or all of the network

    explicit Files(Scope scope = NOTHING) {
        long abi = syscall(CREATE, nullptr, 0, 1);
        if (abi < 1) return;
        handled_ = abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi == 2 ? 0x3fff : 0x1fff;
        uint64_t attributes[3] = {handled_, abi >= 4 && scope == NOTHING ? 3u : 0u, abi >= 6 ? 3u : 0u};
        ruleset_ = syscall(CREATE, attributes, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
    }

    // Lets `path` and what is beneath it be read and started, or be used in every way. Absent paths stay absent.
    void allow(const char* path, bool writable) {
        struct stat about;
        int fd = open(path, O_PATH | O_CLOEXEC);
        if (fd < 0) return;
        constexpr uint64_t READ = 1 | 4 | 8, OF_FILES = 1 | 2 | 4 | 0x4000 | 0x8000;
        uint64_t rights = handled_ & (writable ? ~uint64_t{0} : READ);
        if (fstat(fd, &about) == 0 && !S_ISDIR(about.st_mode)) rights &= OF_FILES;
        struct __attribute__((packed)) { uint64_t rights; int32_t parent; } rule{rights, fd};
        if (ruleset_ >= 0 && syscall(ADD_RULE, ruleset_, 1, &rule, 0) != 0) fail(path);
        close(fd);
    }

    bool enforce() { return ruleset_ >= 0 && syscall(RESTRICT, ruleset_, 0) == 0 && close(static_cast<int>(ruleset_)) == 0; }

  private:
    static constexpr long CREATE = 444, ADD_RULE = 445, RESTRICT = 446;
    uint64_t handled_ = 0;
    long ruleset_ = -1;
};

// A seccomp filter: decisions for single system calls in order, then one for all others. Another architecture's calls,
// and x32's numbers, kill.
class Filter {
  public:
    static constexpr uint32_t KILL = SECCOMP_RET_KILL_PROCESS, ALLOW = SECCOMP_RET_ALLOW;
    static constexpr uint32_t refuse(int error) { return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error); }

    Filter() {
        code_ = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, KILL),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, KILL),
        };
        decide(SYS_clone3, refuse(ENOSYS));  // its flags lie in memory; glibc then falls back to clone
    }

    void decide(int call, uint32_t action) {
        code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
        code_.push_back(BPF_STMT(BPF_RET | BPF_K, action));
    }

    void decide(std::initializer_list<int> calls, uint32_t action) {
        for (int call : calls) decide(call, action);
    }

    // `then` where the call's first argument equals `value` (test BPF_JEQ) or shares a bit with it (BPF_JSET).
    void decide_by_argument(int call, unsigned short test, uint32_t value, uint32_t then, uint32_t otherwise) {
        code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 4));
        code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])));
        code_.push_back(BPF_JUMP(static_cast<unsigned short>(BPF_JMP | test | BPF_K), value, 0, 1));
        code_.push_back(BPF_STMT(BPF_RET | BPF_K, then));
        code_.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
    }

    bool install(uint32_t otherwise) {
        code_.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
        sock_fprog program{static_cast<unsigned short>(code_.size()), code_.data()};
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    }

  private:
    std::vector<sock_filter> code_;
};

}  // namespace confine
