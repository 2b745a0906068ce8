// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/error.h"
#include "base/file.h"

namespace suture {
namespace {

std::set<std::string> codes_of_program() {
  std::set<std::string> out;
  for (int i = 0; code_name(static_cast<Code>(i)) != "unknown"; ++i) {
    out.emplace(code_name(static_cast<Code>(i)));
  }
  return out;
}

// The first cell of each row of the table.
std::set<std::string> codes_of_document() {
  auto text = read_text(fs::path(SUTURE_SOURCE_DIR) / "docs/refusals.md");
  std::set<std::string> out;
  constexpr std::string_view start = "\n| `";
  for (std::size_t at = text.value().find(start); at != std::string::npos;
       at = text->find(start, at + 1)) {
    std::size_t begin = at + start.size();
    out.insert(text->substr(begin, text->find('`', begin) - begin));
  }
  return out;
}

TEST(RefusalsDocument, ExplainsExactlyTheCodesThatThereAre) {
  EXPECT_EQ(codes_of_document(), codes_of_program());
  EXPECT_GT(codes_of_program().size(), 40U);
}

}  // namespace
}  // namespace suture
