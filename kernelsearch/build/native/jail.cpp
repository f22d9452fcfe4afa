// Compiles untrusted source: files come in on standard input, one file goes out on standard output, and nothing else.
//
//   jail PARENT SECONDS MEMORY READABLE OUTPUT PROGRAM ARGUMENT... [-- PROGRAM ARGUMENT...]...
//
// READABLE are paths, a line each, that the programs may read besides the system's and the first program's own folder.
//
// Standard input is a list of files, each "NAME BYTES\n" and its bytes. The programs run one after the other in a folder
// with these files. When all end with 0, OUTPUT is written to standard output; else what they printed, shortened, goes
// to standard error, and the status is 1. 97: our own fault. 98: this machine lacks an essential protection.
//
// The folder is a file system in memory that dies with the jail; where that cannot be had, a folder in /tmp, which the
// supervisor removes, also when it is told to end or its own parent dies.
#include "confine.h"

#include <ftw.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

using namespace confine;

namespace {

constexpr int PROGRAM_FAILED = 1, UNPROTECTED = 98;
constexpr rlim_t FILE_BYTES = 256 << 20;
constexpr size_t MESSAGE_BYTES = 8192;
constexpr char ROOT[] = "/tmp", SCRATCH[] = "/scratch";
// What a compiler reads. /proc/cpuinfo is how -march=native looks at an AArch64 machine.
const std::vector<std::string> SYSTEM = {"/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache",
                                         "/etc/alternatives", "/proc/cpuinfo"};

struct Job {
    uint64_t seconds, memory;
    std::vector<std::string> readable;
    std::string output;
    std::vector<std::vector<char*>> programs;
};

Job read_job(int argc, char** argv) {
    Job job{strtoull(argv[2], nullptr, 10), strtoull(argv[3], nullptr, 10), {}, argv[5], {{}}};
    const std::string lines = argv[4];
    for (size_t at = 0, end; at < lines.size(); at = end + 1) {
        end = std::min(lines.find('\n', at), lines.size());
        if (end > at) job.readable.push_back(lines.substr(at, end - at));
    }
    for (int i = 6; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) job.programs.emplace_back();
        else job.programs.back().push_back(argv[i]);
    }
    for (auto& program : job.programs) program.push_back(nullptr);
    return job;
}

// The system's folders, and the compiler's own where it is installed elsewhere.
std::vector<std::string> readable(const Job& job) {
    std::vector<std::string> paths = SYSTEM;
    paths.insert(paths.end(), job.readable.begin(), job.readable.end());
    std::string program = job.programs[0][0];
    if (program.rfind("/usr/", 0) != 0) paths.push_back(program.substr(0, program.rfind("/bin/")));
    return paths;
}

// A root of our own with the readable folders and an empty scratch folder, all in memory.
void change_root(const std::vector<std::string>& paths) {
    std::vector<int> found;  // opened now: what lies in /tmp is out of sight in a moment
    for (const std::string& path : paths) found.push_back(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (mount("tmpfs", ROOT, "tmpfs", MS_NOSUID, "size=512m,mode=0755") != 0) fail("cannot mount a tmpfs");
    for (size_t i = 0; i < paths.size(); i++) {
        if (found[i] < 0) continue;
        show("/proc/self/fd/" + std::to_string(found[i]), ROOT, paths[i]);
        close(found[i]);
    }
    show("/dev/null", ROOT);
    if (mkdir((std::string(ROOT) + SCRATCH).c_str(), 0777) != 0) fail("mkdir");
    if (chmod((std::string(ROOT) + SCRATCH).c_str(), 01777) != 0) fail("chmod");
    if (chroot(ROOT) != 0 || chdir(SCRATCH) != 0) fail("chroot");
}

void write_file(const std::string& name, FILE* from, size_t bytes) {
    make_folders("./" + name);
    FILE* to = fopen(name.c_str(), "w");
    std::string data(bytes, '\0');
    if (to == nullptr || fread(data.data(), 1, bytes, from) != bytes) fail(name.c_str());
    if (fwrite(data.data(), 1, bytes, to) != bytes || fclose(to) != 0) fail(name.c_str());
}

void receive_files() {
    char name[256];
    size_t bytes;
    while (fscanf(stdin, "%255s %zu", name, &bytes) == 2 && getc(stdin) == '\n') write_file(name, stdin, bytes);
}

// Calls that no compiler makes, or that reach other processes. Where this runs as an ordinary user without namespaces,
// the list is what keeps the compiler off that user's other processes.
bool deny_calls() {
    Filter filter;
    filter.decide_by_argument(SYS_clone, BPF_JSET, 0x7e020000 /* CLONE_NEW* */, Filter::KILL, Filter::ALLOW);
    filter.decide({SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
                   SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp,
                   SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_kill, SYS_tkill, SYS_tgkill,
                   SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_setpgid, SYS_setsid, SYS_setpriority,
                   SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr, SYS_ioprio_set,
                   SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_open_tree,
                   SYS_move_mount, SYS_fsopen, SYS_fsmount, SYS_fsconfig, SYS_fspick, SYS_mknodat,
                   SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
                   SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_add_key, SYS_request_key,
                   SYS_keyctl, SYS_personality, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_init_module,
                   SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_settimeofday, SYS_clock_settime,
                   SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_acct, SYS_quotactl, SYS_syslog, SYS_vhangup,
                   SYS_shmget, SYS_semget, SYS_msgget, SYS_mq_open, SYS_inotify_init1, SYS_fanotify_init, SYS_memfd_create,
                   SYS_mlock, SYS_mlock2, SYS_mlockall},
                  Filter::refuse(EPERM));
    return filter.install(Filter::ALLOW);
}

void give_up_power(const Job& job, const std::string& scratch, pid_t slot) {
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, FILE_BYTES);
    limit(RLIMIT_NOFILE, 256);
    limit_processor_time(job.seconds);
    limit(RLIMIT_AS, job.memory);
    if (change_user(slot)) limit(RLIMIT_NPROC, 64);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // changing the user clears it
    drop_capabilities();
    Files files;
    for (const std::string& path : readable(job)) files.allow(path.c_str(), false);
    files.allow("/dev/null", true);
    files.allow(scratch.c_str(), true);
    if (files.enforce() && deny_calls()) return;
    dprintf(2, "no Landlock or no seccomp in this kernel");
    _exit(UNPROTECTED);
}

bool succeeds(char* const* program, int log) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", locale[] = "LC_ALL=C", temporary[] = "TMPDIR=.";
        char* environment[] = {path, locale, temporary, nullptr};
        dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0);
        dup2(log, 1);
        dup2(log, 2);
        syscall(SYS_close_range, 3u, ~0u, 0u);
        execve(program[0], program, environment);
        dprintf(2, "cannot start %s: %s", program[0], strerror(errno));
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (status != 0 && lseek(log, 0, SEEK_CUR) == 0) {
        if (WIFSIGNALED(status)) dprintf(log, "the compiler was ended by signal %d", WTERMSIG(status));
        else dprintf(log, "the compiler ended with status %d", WEXITSTATUS(status));
    }
    return status == 0;
}

void copy(int from, int to, size_t most) {
    char buffer[65536];
    while (most > 0) {
        ssize_t got = read(from, buffer, most < sizeof buffer ? most : sizeof buffer);
        if (got <= 0) return;
        for (ssize_t at = 0, put; at < got; at += put)
            if ((put = write(to, buffer + at, static_cast<size_t>(got - at))) <= 0) fail("write");
        most -= static_cast<size_t>(got);
    }
}

[[noreturn]] void compile(const Job& job) {
    receive_files();
    int log = open("log", O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) fail("log");
    for (const auto& program : job.programs) {
        if (succeeds(program.data(), log)) continue;
        lseek(log, 0, SEEK_SET);
        copy(log, 2, MESSAGE_BYTES);
        _exit(PROGRAM_FAILED);
    }
    int output = open(job.output.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (output < 0) fail(job.output.c_str());
    copy(output, 1, FILE_BYTES);
    _exit(0);
}

[[noreturn]] void supervise(pid_t child, const sigset_t& signals, const std::string& folder) {
    int status = 0, caught;
    while (waitpid(child, &status, WNOHANG) == 0) {
        while (sigwait(&signals, &caught) != 0) {}
        if (caught == SIGCHLD) continue;
        kill(-child, SIGKILL);  // nothing in there can leave the group
        kill(child, SIGKILL);
    }
    kill(-child, SIGKILL);
    if (!folder.empty())
        nftw(folder.c_str(), [](const char* path, const struct stat*, int, struct FTW*) { remove(path); return 0; }, 16,
             FTW_DEPTH | FTW_PHYS);
    end_like(status);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 7) fail("wrong arguments");
    const Job job = read_job(argc, argv);
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != strtol(argv[1], nullptr, 10)) return OUR_FAULT;  // it died before it could be watched

    const pid_t slot = getpid();
    const bool is_separate = (separate() & OWN_PROCESSES) != 0;
    std::string folder;
    int alive = -1;
    if (is_separate) {
        alive = start_first_process();
    } else {
        char name[] = "/tmp/kernelsearch-XXXXXX";
        if (mkdtemp(name) == nullptr || chmod(name, 0711) != 0) fail("no scratch folder in /tmp");
        folder = name;
        const std::string scratch = folder + SCRATCH;
        if (mkdir(scratch.c_str(), 0700) != 0) fail("mkdir");
        if (geteuid() == 0 && chmod(scratch.c_str(), 01777) != 0) fail("chmod");
    }
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) {
        syscall(SYS_close_range, 0u, 1u, 0u);
        supervise(child, signals, folder);
    }
    close(alive);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &signals, nullptr);
    const std::string scratch = folder + SCRATCH;
    if (is_separate) change_root(readable(job));
    else if (chdir(scratch.c_str()) != 0) fail(scratch.c_str());
    give_up_power(job, scratch, slot);
    compile(job);
}
