// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/bpf_links.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>

namespace suture::machine {

namespace {

struct FreeBtf {
  void operator()(btf* types) const { btf__free(types); }
};
using Btf = std::unique_ptr<btf, FreeBtf>;

// The types of kernel objects, each read once and only when a link names it.
class KernelTypes {
 public:
  std::string name(std::uint32_t object, std::uint32_t type) {
    if (!vmlinux_) {
      vmlinux_.reset(btf__load_vmlinux_btf());
    }
    // A module's types go on where those of vmlinux end.
    const btf* types = vmlinux_.get();
    if (types != nullptr && type >= btf__type_cnt(types)) {
      Btf& own = modules_[object];
      if (!own) {
        own.reset(btf__load_from_kernel_by_id_split(object, vmlinux_.get()));
      }
      types = own.get();
    }
    const btf_type* found = types == nullptr ? nullptr : btf__type_by_id(types, type);
    const char* text = found == nullptr ? nullptr : btf__name_by_offset(types, found->name_off);
    return text == nullptr ? "" : text;
  }

 private:
  Btf vmlinux_;
  std::map<std::uint32_t, Btf> modules_;
};

std::string type_word(std::uint32_t attach_type) {
  switch (attach_type) {
    case BPF_TRACE_FENTRY: return "fentry";
    case BPF_TRACE_FEXIT: return "fexit";
    case BPF_MODIFY_RETURN: return "fmod_ret";
    case BPF_LSM_MAC: return "lsm";
    default: return {};
  }
}

}  // namespace

std::string trampoline_name(const BpfLink& link) {
  const std::uint64_t key = std::uint64_t{link.types} << 32 | 0x80000000U | link.type_id;
  return "bpf_trampoline_" + std::to_string(key);
}

std::optional<std::vector<BpfLink>> bpf_links() {
  std::vector<BpfLink> links;
  KernelTypes types;
  std::uint32_t id = 0;
  while (bpf_link_get_next_id(id, &id) == 0) {
    const int fd = bpf_link_get_fd_by_id(id);
    if (fd < 0) {
      continue;  // gone meanwhile
    }
    bpf_link_info info{};
    std::uint32_t size = sizeof(info);
    const int err = bpf_obj_get_info_by_fd(fd, &info, &size);
    ::close(fd);
    if (err != 0 || info.type != BPF_LINK_TYPE_TRACING) {
      continue;
    }
    std::string type = type_word(info.tracing.attach_type);
    if (!type.empty()) {
      links.push_back(
          BpfLink{.program = info.prog_id,
                  .type = std::move(type),
                  .function = types.name(info.tracing.target_obj_id, info.tracing.target_btf_id),
                  .types = info.tracing.target_obj_id,
                  .type_id = info.tracing.target_btf_id});
    }
  }
  return errno == ENOENT ? std::optional(std::move(links)) : std::nullopt;
}

}  // namespace suture::machine
