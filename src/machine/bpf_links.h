// SPDX-License-Identifier: GPL-2.0-or-later
//
// The BPF programs that are attached to functions of the running kernel by trampoline (fentry,
// fexit, fmod_ret, lsm): bpf_link_info of include/uapi/linux/bpf.h, names from the kernel's BTF.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace suture::machine {

struct BpfLink {
  std::uint32_t program = 0;  // its id
  std::string type;           // "fentry", "fexit", "fmod_ret", "lsm"
  std::string function;
  std::uint32_t types = 0;  // the BTF object, and the type in it, that it is attached to
  std::uint32_t type_id = 0;
};

// The name of the code by which programs are called at that function: the key of kernel/bpf
// (bpf_trampoline_compute_key) in decimal, "bpf_trampoline_6442467823", behind which more may
// stand.
std::string trampoline_name(const BpfLink& link);

// Nothing where this process may not ask, or the kernel cannot tell.
std::optional<std::vector<BpfLink>> bpf_links();

}  // namespace suture::machine
