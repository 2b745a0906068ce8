// SPDX-License-Identifier: GPL-2.0-or-later
//
// attach_bpf KIND FUNCTION: attaches a BPF program that does nothing, and returns 0, to the
// function of vmlinux; says "attached", and stays until it is killed. KIND: fentry, fexit,
// fmod_ret, lsm (FUNCTION is a hook's name then), kprobe; or refusal, a fmod_ret that lets each
// call fail. How often it has run is in the fdinfo of its program, where the kernel counts
// (kernel.bpf_stats_enabled).
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace {

int load(bpf_prog_type type, bpf_attach_type attach, int target, int result) {
  const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = result},
                           {.code = BPF_JMP | BPF_EXIT}};
  char log[4096] = "";
  bpf_prog_load_opts options{};
  options.sz = sizeof(options);
  options.expected_attach_type = attach;
  options.attach_btf_id = static_cast<unsigned>(target);
  options.log_level = 1;
  options.log_buf = log;
  options.log_size = sizeof(log);
  const int program = bpf_prog_load(type, "nothing", "GPL", code, std::size(code), &options);
  if (program < 0) {
    std::fprintf(stderr, "target %d: %s\n", target, log);
  }
  return program;
}

bool attach_to_kprobe(const std::string& function) {
  perf_event_attr event{};
  event.size = sizeof(event);
  std::ifstream("/sys/bus/event_source/devices/kprobe/type") >> event.type;
  event.config1 = reinterpret_cast<std::uintptr_t>(function.c_str());
  const long probe = ::syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
  const int program = load(BPF_PROG_TYPE_KPROBE, bpf_attach_type{}, 0, 0);
  return probe >= 0 && program >= 0 &&
         ::ioctl(static_cast<int>(probe), PERF_EVENT_IOC_SET_BPF, program) == 0 &&
         ::ioctl(static_cast<int>(probe), PERF_EVENT_IOC_ENABLE, 0) == 0;
}

bool attach(const std::string& kind, const std::string& function) {
  if (kind == "kprobe") {
    return attach_to_kprobe(function);
  }
  const std::map<std::string, bpf_attach_type> types{{"fentry", BPF_TRACE_FENTRY},
                                                     {"fexit", BPF_TRACE_FEXIT},
                                                     {"fmod_ret", BPF_MODIFY_RETURN},
                                                     {"refusal", BPF_MODIFY_RETURN},
                                                     {"lsm", BPF_LSM_MAC}};
  const bpf_attach_type type = types.at(kind);
  const int program =
      load(kind == "lsm" ? BPF_PROG_TYPE_LSM : BPF_PROG_TYPE_TRACING, type,
           libbpf_find_vmlinux_btf_id(function.c_str(), type), kind == "refusal" ? -EPERM : 0);
  return program >= 0 && bpf_link_create(program, 0, type, nullptr) >= 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  if (!attach(argv[1], argv[2])) {
    std::perror("attach_bpf");
    return 1;
  }
  std::puts("attached");
  std::fflush(stdout);
  pause();
  return 0;
}
