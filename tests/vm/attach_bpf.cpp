// SPDX-License-Identifier: GPL-2.0-or-later
//
// attach_bpf fentry|fmod_ret FUNCTION: attaches a BPF program that does nothing, and returns 0, to
// the function of vmlinux; says "attached", and stays until it is killed.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  const bpf_attach_type type =
      argv[1] == std::string("fmod_ret") ? BPF_MODIFY_RETURN : BPF_TRACE_FENTRY;
  const int target = libbpf_find_vmlinux_btf_id(argv[2], type);
  const bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
  char log[4096] = "";
  bpf_prog_load_opts options{};
  options.sz = sizeof(options);
  options.expected_attach_type = type;
  options.attach_btf_id = static_cast<unsigned>(target);
  options.log_level = 1;
  options.log_buf = log;
  options.log_size = sizeof(log);
  const int program =
      bpf_prog_load(BPF_PROG_TYPE_TRACING, "nothing", "GPL", code, std::size(code), &options);
  const int link = program < 0 ? -1 : bpf_link_create(program, 0, type, nullptr);
  if (link < 0) {
    std::fprintf(stderr, "target %d program %d link %d: %s\n", target, program, link, log);
    return 1;
  }
  std::puts("attached");
  std::fflush(stdout);
  pause();
  return 0;
}
