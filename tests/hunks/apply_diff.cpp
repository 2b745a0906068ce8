// SPDX-License-Identifier: GPL-2.0-or-later
//
// apply_diff TREE OUTPUT FUZZ: answers each line "DIFF FILE" of its input with one word: "applied",
// "told" where there was something to note, or "refused", and what was said. What became of FILE is
// then in OUTPUT.
#include <fmt/format.h>

#include <cstdlib>
#include <iostream>

#include "source/diff_files.h"

namespace {

using namespace suture;

std::string answer(const fs::path& diff, const std::string& file, const fs::path& tree,
                   const fs::path& output, unsigned fuzz) {
  auto texts = source::read_diffs(diff);
  if (!texts) {
    return "refused " + texts.error().reason;
  }
  auto patch = source::parse_patch(texts->diffs.at(0).text, diff.string());
  if (!patch) {
    return "refused " + patch.error().reason;
  }
  auto applied = source::apply({*patch}, tree, fuzz);
  if (!applied) {
    return fmt::format("refused {}; {}", applied.error().reason, applied.error().remedy);
  }
  for (const source::ChangedFile& changed : applied->files) {
    if (changed.path == file && !write_file(output, changed.after)) {
      return "refused: the result cannot be written";
    }
  }
  return applied->notes.empty() ? "applied"
                                : fmt::format("told {}", fmt::join(applied->notes, "; "));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    return 2;
  }
  std::string diff;
  std::string file;
  while (std::cin >> diff >> file) {
    std::cout << answer(diff, file, argv[1], argv[2], static_cast<unsigned>(std::atoi(argv[3])))
              << std::endl;
  }
  return 0;
}
