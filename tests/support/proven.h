// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patch module made of assembler texts, and the proof of it.
#pragma once

#include <string>
#include <vector>

#include "prove/prove.h"
#include "support/kallsyms_tables.h"
#include "support/linked.h"

namespace suture::test {

// A compiled file of the module "tiny", patched.
class Proving : public Linking {
 protected:
  void SetUp() override {
    Linking::SetUp();
    const std::uint64_t text = 0xffffffff81000000;
    KallsymsTables tables;
    tables.symbols = {{'T', "_text", text}, {'R', "linux_banner", 0xffffffff84000000}};
    const fs::path vmlinux = directory_.path() / "vmlinux";
    ASSERT_TRUE(write_file(
        vmlinux,
        tiny_vmlinux(
            kallsyms_rodata(tables),
            {{".banner", SHT_PROGBITS, SHF_ALLOC, 0xffffffff84000000,
              bytes_of(std::string("Linux version 6.1.0 (b@h) (gcc-12 (Debian) 12, GNU ld) "
                                   "#1 SMP\n\0",
                                   63))}})));
    image_ = kernel::Image::open(vmlinux).value();
    exports_ = {{.name = "__fentry__", .address = text + 16, .crc = 6, .name_space = ""},
                {.name = "klp_enable_patch", .address = text + 32, .crc = 5, .name_space = ""},
                {.name = "module_layout", .address = text + 48, .crc = 7, .name_space = ""}};
  }

  // The module that makes `post` of `pre`.
  Bytes make(const std::string& pre, const std::string& post, const std::string& run) {
    auto linked = Linking::make(pre, post, run, "tiny");
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
    names_.clear();
    for (const diff::Piece& one : graph_.pieces()) {
      names_.emplace_back(one.name);
    }
    return linked->module;
  }

  // What was matched, as the proof takes it.
  prove::Case about() {
    prove::Unit unit{.source = "f.c", .object = "tiny", .pre = &object_, .post = &post_};
    for (const auto& [number, address] : matched_.addresses) {
      const auto place = run_.place(address);
      for (std::uint32_t i = 1; place && i < object_.symbols().size(); ++i) {
        if (object_.symbols()[i].name == names_.at(static_cast<std::size_t>(number))) {
          unit.defined.emplace(i, prove::RunPlace{place->first, place->second});
        }
      }
    }
    return prove::Case{
        .units = {unit},
        .image = &image_,
        .exports = exports_,
        .symvers = &symvers_,
        .find_module = [this](const std::string&) { return &module_; },
        .core_exports = metadata_.core == module::Core::suture ? &core_exports_ : nullptr,
        .glue = &glue_.object,
        .constants = &glue_.constants};
  }

  prove::Proof proof(const Bytes& module) { return prove::prove(module, about()); }
  // The proof of a module against another post than the one that it was made of.
  prove::Proof proof_against(const Bytes& module, const std::string& post) {
    post_ = elf::ObjectFile::open(assemble("other", post)).value();
    return proof(module);
  }
  static std::string all(const prove::Proof& proof) {
    std::string out;
    for (const Error& accusation : proof.accusations) {
      out += fmt::format("{}: {}\n", accusation.where, accusation.reason);
    }
    return out;
  }

  std::vector<std::string> names_;  // of the pieces of what was matched
  kernel::Image image_;
  std::vector<kernel::ImageExport> exports_;
};

}  // namespace suture::test
