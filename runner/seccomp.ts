/** What a container may ask of the kernel: a list of what is allowed; all else does not exist. */

export type SeccompRule = {
  names: string[]
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  errnoRet?: number
  args?: { index: number; value: number; valueTwo?: number; op: string }[]
}

export type SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO'
  defaultErrnoRet: number
  architectures: string[]
  syscalls: SeccompRule[]
}

const notPermitted = 1
const notImplemented = 38
const allNamespaceFlags = 0x7e020000
const userNamespaceFlag = 0x10000000
const socketFamilies = { unix: 1, inet: 2, inet6: 10, netlink: 16 }
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

/**
 * Default-deny. An unlisted call answers "not implemented", which every runtime takes as an old
 * kernel and falls back from; those that would widen a container's reach answer "not permitted".
 * `nested` is for a program that makes containers itself.
 */
export function seccompProfile(
  architecture: NodeJS.Architecture,
  { nested = false }: { nested?: boolean } = {},
): SeccompProfile {
  const flags = nested ? userNamespaceFlag : allNamespaceFlags
  const forMakers = nested ? words(makers) : []
  const undecided = nested ? [...forMakers, ...words(newerMounts), 'unshare'] : []
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: notImplemented,
    architectures: [architecture === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'],
    syscalls: [
      { names: [...words(allowed), ...forMakers], action: 'SCMP_ACT_ALLOW' },
      {
        names: words(refused).filter((name) => !undecided.includes(name)),
        action: 'SCMP_ACT_ERRNO',
        errnoRet: notPermitted,
      },
      // Its flags lie in memory, where no filter can look: callers fall back to clone.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: notImplemented },
      ...['clone', ...(nested ? ['unshare'] : [])].map((name): SeccompRule => ({
        names: [name],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: flags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      })),
      ...Object.values(socketFamilies).map((value) => allowedWhen('socket', 0, value)),
      ...personalities.map((value) => allowedWhen('personality', 0, value)),
    ],
  }
}

function allowedWhen(name: string, index: number, value: number): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [{ index, value, op: 'SCMP_CMP_EQ' }] }
}

function words(text: string): string[] {
  return text.trim().split(/\s+/)
}

/** For a program that makes containers. A further user namespace would give it every capability. */
const makers = 'chroot mount pivot_root sethostname umount2'

/** To such a program these do not exist, and it takes `mount`. */
const newerMounts = 'fsconfig fsmount fsopen fspick mount_setattr move_mount open_tree'

const refused = `
  acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init
  finit_module fsconfig fsmount fsopen fspick init_module kcmp kexec_file_load kexec_load keyctl
  lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages name_to_handle_at
  nfsservctl open_by_handle_at open_tree perf_event_open pivot_root process_madvise
  process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key
  set_mempolicy setdomainname sethostname setns settimeofday swapoff swapon syslog umount2
  unshare userfaultfd vhangup
`

const allowed = `
  accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown
  clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range creat
  dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
  eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate
  fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork
  fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv
  futex_wake futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents
  getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
  getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt
  gettid gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch ioctl io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit
  ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
  lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat
  madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod
  mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
  nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
  pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64
  process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
  recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall
  riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
  rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
  sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
  sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
  semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list
  set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid
  setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr
  shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs
  statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
  timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
  timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork
  vmsplice wait4 waitid write writev
`
