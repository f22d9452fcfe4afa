// What a Python candidate's process needs of confine.h, as a library that the runner calls before the candidate exists.
//
// Like the native runner it is forked into namespaces, and what the judge started supervises. Unlike it, Python must
// read its own library: the root is a file system in memory that shows the given folders, read-only, and nothing else.
// The system-call list ends in "refused" rather than in death, because an interpreter tries things and goes on; what
// reaches for other processes, the network or new programs still kills.
#include "confine.h"

#include <string>
#include <vector>

using namespace confine;

namespace {

constexpr char ROOT[] = "/proc";  // exists everywhere, and no Python is installed beneath it

std::vector<std::string> split(const char* lines) {
    std::vector<std::string> found{""};
    for (; *lines != '\0'; lines++) {
        if (*lines == '\n') found.emplace_back();
        else found.back() += *lines;
    }
    return found;
}

// A library that the confined process will load: bytes, until the root it will see exists.
struct Brought {
    const char* bytes = nullptr;
    uint64_t size = 0;
    std::string path;
} brought;

void write_library(int fd) {
    uint64_t written = 0;
    while (written < brought.size) {
        ssize_t now = write(fd, brought.bytes + written, brought.size - written);
        if (now <= 0) fail("cannot write the library");
        written += static_cast<uint64_t>(now);
    }
}

bool show_only(const std::vector<std::string>& paths) {
    const std::string options = "mode=0755,size=" + std::to_string((4 << 20) + brought.size);
    if (mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) return false;
    for (const std::string& path : paths) show(path, ROOT);
    if (brought.size != 0) {
        brought.path = "/kernel.so";
        const int fd = open((ROOT + brought.path).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
        write_library(fd);
        close(fd);
    }
    return chroot(ROOT) == 0 && chdir("/") == 0;
}

bool is_single_thread() {
    struct stat about;
    return stat("/proc/self/task", &about) == 0 && about.st_nlink == 3;
}

bool allow_python() {
    Filter filter;
    const uint32_t self = static_cast<uint32_t>(getpid());
    filter.decide_by_argument(SYS_clone, BPF_JSET, 0x00010000 /* CLONE_THREAD */, Filter::ALLOW, Filter::KILL);
    filter.decide_by_argument(SYS_tgkill, BPF_JEQ, self, Filter::ALLOW, Filter::KILL);  // abort() signals itself
    filter.decide_by_argument(SYS_prlimit64, BPF_JEQ, 0, Filter::ALLOW, Filter::KILL);
    filter.decide_by_argument(SYS_prctl, BPF_JEQ, PR_SET_NAME, Filter::ALLOW, Filter::refuse(EPERM));
#if defined(__x86_64__)
    filter.decide({SYS_fork, SYS_vfork}, Filter::KILL);
    filter.decide({SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_poll, SYS_select, SYS_dup2, SYS_pipe,
                   SYS_getdents, SYS_time, SYS_arch_prctl},
                  Filter::ALLOW);
#endif
    filter.decide({SYS_execve, SYS_execveat, SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept,
                   SYS_accept4, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp,
                   SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_kill, SYS_tkill, SYS_rt_sigqueueinfo,
                   SYS_rt_tgsigqueueinfo, SYS_setpriority, SYS_sched_setaffinity, SYS_sched_setscheduler,
                   SYS_sched_setparam, SYS_sched_setattr, SYS_ioprio_set, SYS_mount, SYS_umount2, SYS_pivot_root,
                   SYS_chroot, SYS_unshare, SYS_setns, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_bpf,
                   SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_add_key, SYS_request_key, SYS_keyctl,
                   SYS_shmget, SYS_semget, SYS_msgget, SYS_mq_open, SYS_setpgid, SYS_setsid},
                  Filter::KILL);
    filter.decide({SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_write, SYS_writev, SYS_openat, SYS_close, SYS_lseek,
                   SYS_fstat, SYS_newfstatat, SYS_statx, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64,
                   SYS_getcwd, SYS_fcntl, SYS_dup, SYS_dup3, SYS_pipe2, SYS_ppoll, SYS_pselect6, SYS_statfs, SYS_fstatfs,
                   SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_brk, SYS_madvise, SYS_mincore, SYS_membarrier,
                   SYS_mbind, SYS_get_mempolicy, SYS_futex, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigaction,
                   SYS_rt_sigprocmask, SYS_sigaltstack, SYS_set_robust_list, SYS_set_tid_address, SYS_rseq,
                   SYS_sched_yield, SYS_sched_getaffinity, SYS_getcpu, SYS_restart_syscall, SYS_getrandom, SYS_getpid,
                   SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getrlimit,
                   SYS_getrusage, SYS_times, SYS_sysinfo, SYS_uname, SYS_clock_gettime, SYS_clock_getres,
                   SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday},
                  Filter::ALLOW);
    return filter.install(Filter::refuse(EPERM));
}

}  // namespace

// Forks the caller into namespaces of its own. Returns the protections that hold, in the child; the parent tells the
// judge who the child is (kind 8) and ends as it ends.
extern "C" uint32_t ks_enter(int commands, int responses) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const uint32_t held = separate();
    const int alive = held & OWN_PROCESSES ? start_first_process() : -1;
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        close(alive);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return held;
    }
    const uint32_t message[2] = {8, static_cast<uint32_t>(child)};
    if (write(responses, message, sizeof message) != sizeof message) _exit(0);
    close(commands);
    close(responses);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    end_like(status);
}

// A shared library that `ks_give_up_power` puts where `ks_brought` then says; `bytes` must stay until then.
extern "C" void ks_bring(const char* bytes, uint64_t size) {
    brought.bytes = bytes;
    brought.size = size;
}

extern "C" const char* ks_brought() { return brought.path.c_str(); }

// Leaves this process, which must have one thread, with the reading of `paths` (one a line) and nothing else.
extern "C" uint32_t ks_give_up_power(uint32_t held, int slot, const char* lines, uint64_t memory, uint64_t cpu_seconds) {
    const std::vector<std::string> paths = split(lines);
    errno = EBUSY;
    if (!is_single_thread()) fail("threads before the confinement");
    if ((held & OWN_PROCESSES) && show_only(paths)) held |= EMPTY_ROOT;
    if (brought.size != 0 && brought.path.empty()) {
        const int fd = static_cast<int>(syscall(SYS_memfd_create, "kernel", 0u));
        write_library(fd);
        brought.path = "/proc/self/fd/" + std::to_string(fd);  // memory is no file: Landlock does not ask about it
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NOFILE, 256);
    limit_processor_time(cpu_seconds);
    limit(RLIMIT_AS, memory);
    held |= LIMITS;
    if (change_user(slot)) {
        held |= OWN_USER;
        limit(RLIMIT_NPROC, 512);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // again: changing the user clears it
    drop_capabilities();
    Files files;
    for (const std::string& path : paths) files.allow(path.c_str(), false);
    if (held & EMPTY_ROOT && brought.size != 0) files.allow(brought.path.c_str(), false);
    if (files.enforce()) held |= NO_FILES;
    return allow_python() ? held | SYSTEM_CALLS : held;
}
