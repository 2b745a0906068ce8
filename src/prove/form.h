// SPDX-License-Identifier: GPL-2.0-or-later
//
// The form that a part of post has in a patch module: as it was compiled, but for late keys.
//
// A late key is a static key or static call that belongs to a module: the loader reads the tables
// about them before livepatch can bind it. What must stand in the module instead of a table's entry
// follows from post alone (src/module/late_keys.h states the same for who writes it): a static call
// just loses its entry; the 5 bytes of a static branch become a jump to a stub behind the part's
// own bytes, one stub for each in the order of the entries, which tests the key's count, goes to
// the branch's target or back behind the site, and unwinds as the site does. Behind those, one for
// each jump to another function by one byte, in their order: the byte leads to a direct jump there,
// if that is within its reach.
#pragma once

#include <functional>
#include <vector>

#include "prove/tables.h"

namespace suture::prove {

struct Form {
  Bytes bytes;  // `size` of them
  std::uint64_t size = 0;
  std::vector<Field> fields;  // by offset
  std::vector<const Entry*> entries;
  std::vector<Row> rows;
};

using IsLate = std::function<bool(const Target& key)>;

// `fields` are the part's; all that is given must outlive the form.
Form form_of(const Object& object, std::int32_t part, const std::vector<Field>& fields,
             const Tables& tables, const IsLate& is_late);

}  // namespace suture::prove
