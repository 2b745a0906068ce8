// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which functions of a kernel object only its boot code calls, though they lie among those that
// stay: their authors left out `__init`.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "match/run_object.h"

namespace suture::match {

class BootCallers {
 public:
  // `run` must outlive it.
  explicit BootCallers(const RunObject& run);

  // Those of `functions`, which are addresses, that boot code calls, or one or two functions of
  // which that is true, while nothing else that stays once the kernel has booted, or the module was
  // loaded, can be a reference to them. What only looks like one counts as one; so does a chain of
  // more than three functions. The object is read once for each link of the chain.
  std::set<std::uint64_t> called_by_boot_alone(const std::set<std::uint64_t>& functions);

 private:
  struct Users {
    bool others = false;  // something may have it that is no function, or too many functions do
    bool boot = false;
    std::set<std::uint64_t> functions;  // that stay
  };
  void survey(std::set<std::uint64_t> functions);
  void add_user(const RunObject::Part& part, std::uint64_t offset, Users& users,
                std::uint64_t function) const;
  bool is_boot_alone(std::uint64_t function, int steps) const;

  const RunObject& run_;
  std::pair<std::uint64_t, std::uint64_t> every_function_;  // __mcount_loc of vmlinux
  std::map<std::uint64_t, Users> known_;
};

}  // namespace suture::match
