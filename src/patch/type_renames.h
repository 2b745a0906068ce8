// SPDX-License-Identifier: GPL-2.0-or-later
//
// Types that a diff gives other names: what is in memory of the old name is read by the new one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "kernel/types.h"
#include "source/type_names.h"

namespace suture::patch {

class TypeRenames {
 public:
  struct Candidate {
    std::uint32_t id = 0;
    kernel::TypeLayout layout;
  };
  // How many members are the same; whether code names the one in place of the other; whether their
  // sizes are the same. More is better.
  using Fit = std::tuple<std::size_t, bool, bool>;
  struct Pair {
    Fit fit;
    const Candidate* old = nullptr;
    const Candidate* now = nullptr;
  };

  // Types that pre and post state, and what the diff's texts say of their names.
  TypeRenames(const kernel::TypeTable& pre, const kernel::TypeTable& post,
              const source::TypeNames& names);

  // What a type of pre goes on as, by number.
  const std::map<std::uint32_t, std::uint32_t>& post_of() const { return post_of_; }
  // Those that have no partner: only pre states them, only post does.
  const std::vector<std::uint32_t>& gone() const { return gone_; }
  const std::vector<std::uint32_t>& come() const { return come_; }
  // A description of pre in post's names.
  std::string in_new_names(std::string description) const;
  kernel::TypeLayout in_new_names(kernel::TypeLayout layout) const;

 private:
  void settle(std::vector<Pair> pairs);

  std::map<std::uint32_t, std::uint32_t> post_of_;
  std::vector<std::uint32_t> gone_, come_;
  std::map<std::string, std::string> names_;  // "struct a" to "struct b"
};

}  // namespace suture::patch
