// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which part of pre is which part of post.
#pragma once

#include <set>
#include <vector>

#include "prove/object.h"
#include "prove/tables.h"

namespace suture::prove {

// An object with the fields of all its parts and the tables about them.
struct Read {
  Object object;
  std::vector<std::vector<Field>> fields;  // by part
  Tables tables;

  static Result<Read> open(const elf::ObjectFile& elf, const elf::Arch& arch,
                           const Constants& constants);
  const std::vector<Field>& fields_of(std::int32_t part) const {
    return fields[static_cast<std::size_t>(part)];
  }
};

struct Pairing {
  std::vector<std::int32_t> pre_of;   // by post part, -1 where it is new
  std::vector<std::int32_t> post_of;  // by pre part, -1 where it is gone
  // What another file of the object goes on with (linkage.h): parts of pre; and parts of post that
  // stand for what all files meant by their name before.
  std::set<std::int32_t> gone, come;

  std::int32_t pre(std::int32_t post) const { return pre_of[static_cast<std::size_t>(post)]; }
  std::int32_t post(std::int32_t pre) const { return post_of[static_cast<std::size_t>(pre)]; }
};

// A static local, by its name without number, that is only there to be distinct or to remember that
// something was said once.
bool serves_anew(std::string_view base);

Pairing pair_up(const Read& pre, const Read& post);

}  // namespace suture::prove
