// SPDX-License-Identifier: GPL-2.0-or-later
//
// What names mean among the files of one object: who defines them before and after, and which
// running thing a definition goes on as.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "prove/running.h"
#include "prove/side.h"

namespace suture::prove {

using Place = std::pair<std::size_t, std::int32_t>;  // a side, and a part of its pre or post

class Linkage {
 public:
  Linkage() = default;
  // Takes out of the sides' pairings what another file's definition runs for, and marks there what
  // moves. Errors are the running kernel's.
  static Result<Linkage> find(std::deque<Side>& sides, Running& running);

  // The part of post that a file of `object` means by a name that it does not define itself.
  std::optional<Place> definition(std::string_view object, std::string_view name) const;

  // What a part of post goes on as: another file's part of pre, or what runs at an address and is
  // of no file of the patch.
  struct Ancestor {
    std::optional<Place> pre;
    std::uint64_t address = 0;
    bool replaced = true;  // a function's; else it runs on in place of the part of post
  };
  const Ancestor* ancestor(Place post) const;
  // The parts of post that go on as what runs somewhere.
  const std::map<Place, Ancestor>& ancestors() const { return ancestors_; }
  // Which part of post goes on as that part of pre, or as what runs there.
  std::optional<Place> heir(Place pre) const;
  std::optional<Place> heir_at(std::string_view object, std::uint64_t address) const;

  struct Complaint {
    Place post;
    std::string what;
  };
  const std::vector<Complaint>& complaints() const { return complaints_; }

 private:
  friend class Genealogist;
  // By object and name, whose characters are the units'.
  std::map<std::pair<std::string_view, std::string_view>, Place> definitions_;
  std::map<Place, Ancestor> ancestors_;
  std::map<Place, Place> heirs_;
  std::map<std::pair<std::string, std::uint64_t>, Place> heirs_at_;
  std::vector<Complaint> complaints_;
};

}  // namespace suture::prove
