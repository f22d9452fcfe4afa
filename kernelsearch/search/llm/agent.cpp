// Runs somebody's coding agent in a folder of its own, and ends all of it.
//
//   agent PARENT FILE_BYTES FOLDER READABLE... -- PROGRAM ARGUMENT...
//
// The agent, and whatever it starts, can read the system's programs, the paths in READABLE and the folder, and write to
// the folder alone (Landlock); it can neither trace nor signal processes outside, nor reach sockets that are files, such
// as a container daemon's, a key agent's or the desktop's (seccomp). It has the network: an agent talks to its model.
// When the program ends, or this supervisor is told to or loses its parent, every process that came from it is killed,
// those that left its group and session too: orphans come back to the nearest subreaper, and that is the supervisor.
// Status: the program's own; 97 our fault; 98 this machine cannot confine it.
#include "confine.h"

#include <sys/socket.h>

#include <cstdlib>
#include <string>
#include <vector>

using namespace confine;

namespace {

constexpr int UNPROTECTED = 98;
const std::vector<std::string> SYSTEM = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/sys/devices/system/cpu", "/dev/zero", "/dev/random",
    "/dev/urandom", "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl", "/etc/pki", "/etc/ca-certificates",
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
    "/etc/protocols", "/etc/passwd", "/etc/group", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
};

bool deny_calls() {
    Filter filter;
    filter.decide_by_argument(SYS_socket, BPF_JEQ, AF_UNIX, Filter::refuse(EACCES), Filter::ALLOW);
    filter.decide_by_argument(SYS_clone, BPF_JSET, 0x7e020000 /* CLONE_NEW* */, Filter::refuse(EPERM), Filter::ALLOW);
    // Rings of requests could open what this filter refuses.
    filter.decide({SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}, Filter::refuse(ENOSYS));
    filter.decide({SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_open_tree,
                   SYS_move_mount, SYS_fsopen, SYS_fsmount, SYS_open_by_handle_at, SYS_bpf, SYS_perf_event_open,
                   SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_pidfd_getfd, SYS_process_vm_readv,
                   SYS_process_vm_writev, SYS_ptrace},
                  Filter::refuse(EPERM));
    return filter.install(Filter::ALLOW);
}

[[noreturn]] void become(const char* folder, rlim_t file_bytes, char** readable, char** program) {
    setpgid(0, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, file_bytes);
    drop_capabilities();
    Files files(Files::NETWORK);
    for (const std::string& path : SYSTEM) files.allow(path.c_str(), false);
    for (char** path = readable; *path != nullptr; path++) files.allow(*path, false);
    files.allow("/dev/null", true);
    files.allow(folder, true);
    if (!files.enforce() || !deny_calls()) {
        dprintf(2, "no Landlock or no seccomp in this kernel: an agent is not started without them\n");
        _exit(UNPROTECTED);
    }
    if (chdir(folder) != 0) fail(folder);
    execvp(program[0], program);
    dprintf(2, "cannot start %s: %s. If it lies outside of the system's folders, let it be read: --agent-read PATH\n",
            program[0], strerror(errno));
    _exit(127);
}

// Kills every descendant until there is none: who loses its parent becomes our child.
void end_all(pid_t group) {
    kill(-group, SIGKILL);
    const std::string list = "/proc/self/task/" + std::to_string(getpid()) + "/children";
    for (;;) {
        FILE* children = fopen(list.c_str(), "r");
        for (int pid; children != nullptr && fscanf(children, "%d", &pid) == 1;) kill(pid, SIGKILL);
        if (children != nullptr) fclose(children);
        if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
    }
}

}  // namespace

int main(int argc, char** argv) {
    int split = 4;
    while (split < argc && strcmp(argv[split], "--") != 0) split++;
    if (split + 1 >= argc) fail("wrong arguments");
    argv[split] = nullptr;

    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != strtol(argv[1], nullptr, 10)) return OUR_FAULT;  // it died before it could be watched
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail("subreaper");

    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_UNBLOCK, &signals, nullptr);
        become(argv[3], strtoull(argv[2], nullptr, 10), argv + 4, argv + split + 1);
    }
    setpgid(child, child);
    int status = SIGKILL, caught;
    for (;;) {
        int ended;
        const pid_t found = waitpid(-1, &ended, WNOHANG);
        if (found == child) {
            status = ended;
            break;
        }
        if (found > 0) continue;
        if (sigwait(&signals, &caught) == 0 && caught != SIGCHLD) break;
    }
    end_all(child);
    end_like(status);
}
