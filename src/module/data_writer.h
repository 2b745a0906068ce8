// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writing structures of the kernel as data, by the layouts that the glue states.
#pragma once

#include <string>
#include <utility>

#include "module/glue.h"
#include "module/placing.h"

namespace suture::module {

class DataWriter {
 public:
  // What is given must outlive the writer.
  DataWriter(const Glue& glue, const elf::Arch& arch, Assembly& assembly)
      : glue_(glue), arch_(arch), assembly_(assembly) {}

  // `count` structures one after the other, all zero at first: in memory that the core may write
  // to, or in a section of that name that it only reads.
  Place reserve(const char* type, std::uint64_t count) {
    return append(".data.suture_patch", SHF_ALLOC | SHF_WRITE, type, count);
  }
  Place reserve_constant(const char* section, const char* type, std::uint64_t count) {
    return append(section, SHF_ALLOC, type, count);
  }

  Place member(Place base, const std::string& name) const {
    return Place{base.section, base.offset + glue_.constant(name)};
  }
  Place next(Place at, const char* type) const {
    return Place{at.section, at.offset + glue_.constant(type)};
  }
  void point(Place field, Place target) {
    assembly_.relocate(field, arch_.absolute64(), target, 0);
  }
  template <class T>
  void set(Place field, T value) {
    write_le<T>(assembly_.data(field.section), field.offset, value);
  }
  void point_at_string(Place field, const std::string& text) {
    const std::int32_t section =
        assembly_.section(".rodata.suture_patch", SHT_PROGBITS, SHF_ALLOC, 1);
    Bytes bytes(text.begin(), text.end());
    bytes.push_back(0);
    point(field, assembly_.append(section, bytes, bytes.size(), 1));
  }

 private:
  static constexpr std::uint64_t align = 32;

  Place append(const char* section, std::uint64_t flags, const char* type, std::uint64_t count) {
    return assembly_.append(assembly_.section(section, SHT_PROGBITS, flags, align), {},
                            glue_.constant(type) * count, align);
  }

  const Glue& glue_;
  const elf::Arch& arch_;
  Assembly& assembly_;
};

}  // namespace suture::module
