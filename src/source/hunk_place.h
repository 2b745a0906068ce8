// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where in a file a hunk belongs.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "source/line_sync.h"
#include "source/patch.h"

namespace suture::source {

// The lines of a file that diff writes behind a hunk's second @@: functions, structures, variables.
class Headings {
 public:
  explicit Headings(const std::vector<NumberedLine>& lines);
  // Whether `heading` is one of this file.
  bool has(std::string_view heading) const;
  // Whether it is the one of a hunk that starts at line `at`, from 0.
  bool is_of(std::string_view heading, std::size_t at) const;

 private:
  struct Above {
    std::size_t any;   // the next such line above, from 1; 0: there is none
    std::size_t code;  // the same, jump labels passed over, as git is told to in the kernel's tree
  };
  std::vector<std::string> lines_;  // without blanks at the end
  std::vector<Above> above_;        // of each line, and of the file's end
};

// What a heading names: "vfs_read(", "SYSCALL_DEFINE3(read", "file_operations"; empty where it
// names nothing, or may have been cut off inside the name.
std::string named_by(std::string_view heading);

// A file while hunks are put into it.
struct Surroundings {
  const std::vector<NumberedLine>& lines;  // as it stands now
  const Headings& headings;                // as it was before the diff's first hunk
  std::size_t floor = 0;                   // the first line behind the hunk before, from 0
  std::ptrdiff_t grown = 0;                // by how many lines earlier hunks made it longer
};

struct Place {
  std::size_t at = 0;            // the line of the hunk's first old one, from 0
  unsigned fuzz = 0;             // that it took
  std::size_t leading = 0;       // lines of context that this leaves unlooked at
  std::size_t trailing = 0;      // likewise
  std::size_t others = 0;        // places in other functions where it would fit as well
  bool heading_is_gone = false;  // the file has nothing that is called as the heading says
};

struct Miss {
  enum class Kind { no_place, several, other_function } kind = Kind::no_place;
  std::vector<std::size_t> places;  // where it would fit, from 0
};

// Where the hunk's old side stands, `expected` (from 0) being where the diff says. `fuzz` as patch
// -F has it.
std::expected<Place, Miss> find_place(const Surroundings& file, const Hunk& hunk,
                                      std::ptrdiff_t expected, unsigned fuzz);

// The lines of context at the longer end: a greater fuzz changes nothing.
std::size_t context_of(const Hunk& hunk);

}  // namespace suture::source
