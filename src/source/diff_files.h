// SPDX-License-Identifier: GPL-2.0-or-later
//
// Diffs as people have them: plain or compressed files, mailboxes of `git format-patch`, and
// quilt's series of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "source/patch.h"

namespace suture::source {

// One diff of those that a file or directory holds.
struct DiffText {
  std::string name;               // for people: the path; of a mailbox with the number of the mail
  std::string text;               // unpacked
  std::optional<unsigned> strip;  // what a series says of it (-pN)
};

struct DiffTexts {
  std::vector<DiffText> diffs;     // in the order in which they apply
  std::vector<std::string> notes;  // what of it was left out
};

// The diffs that the bytes of one file hold: of a mailbox, one a mail. bad-diff where it is no
// diff, or one in a form that has to be turned into another first: the error says what it is and
// what to run.
Result<DiffTexts> diffs_in(ByteView bytes, const std::string& where);

// The same of a path: a file as above, a series file, or a directory with one (quilt's patches/).
Result<DiffTexts> read_diffs(const fs::path& path);

// Parses a diff with its names stripped as `strip` says, else so that they are files of `tree`: as
// -p1 where that names any, else by the one number that makes files of all of them, which `notes`
// is told. usage where both -p0 and -p1 do.
Result<Patch> parse_for_tree(const DiffText& diff, const fs::path& tree,
                             std::optional<unsigned> strip, std::vector<std::string>& notes);

}  // namespace suture::source
