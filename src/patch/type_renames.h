// SPDX-License-Identifier: GPL-2.0-or-later
//
// Types that a diff gives other names: what is in memory of the old name is read by the new one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernel/types.h"
#include "source/type_names.h"

namespace suture::patch {

class TypeRenames {
 public:
  // Types that pre and post state, and what the diff's texts say of their names.
  TypeRenames(const kernel::TypeTable& pre, const kernel::TypeTable& post,
              const source::TypeNames& names);

  // The type of pre that a type of post was, by number.
  const std::map<std::uint32_t, std::uint32_t>& pre_of() const { return pre_of_; }
  // Those that have no partner: only pre states them, only post does.
  const std::vector<std::uint32_t>& gone() const { return gone_; }
  const std::vector<std::uint32_t>& come() const { return come_; }
  // A description of pre in post's names.
  std::string in_new_names(std::string description) const;
  kernel::TypeLayout in_new_names(kernel::TypeLayout layout) const;

 private:
  std::map<std::uint32_t, std::uint32_t> pre_of_;
  std::vector<std::uint32_t> gone_, come_;
  std::map<std::string, std::string> names_;  // "struct a" to "struct b"
};

}  // namespace suture::patch
