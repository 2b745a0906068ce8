// SPDX-License-Identifier: GPL-2.0-or-later
//
// What counts is what the compiler makes of the text, so most of these tests ask it.
#include "source/line_sync.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/process.h"

namespace suture::source {
namespace {

using Lines = std::vector<NumberedLine>;

Lines split(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    std::size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back({text.substr(0, size), lines.size() + 1});
    text.remove_prefix(size);
  }
  return lines;
}

Lines with_line_before(const Lines& lines, std::size_t index, std::string_view added) {
  Lines out = lines;
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(index), {added, 0});
  return out;
}

// The tokens that the preprocessor makes of `text`, without layout.
std::string preprocessed(std::string_view text) {
  auto dir = TempDir::create(fs::temp_directory_path(), "sync-test");
  EXPECT_TRUE(dir);
  EXPECT_TRUE(write_file(dir->path() / "t.c", text));
  auto made = run({{"gcc", "-E", "-P", "-w", "t.c"}, dir->path(), {}});
  EXPECT_TRUE(made);
  EXPECT_EQ(made->exit_status, 0) << made->out << text;
  std::string out;
  for (char c : made->out) {
    if (c != ' ' && c != '\n') {
      out += c;
    }
  }
  return out;
}

constexpr std::string_view source = R"(#define WARN(x) warn(__LINE__, x)
#define BLOCK(x) ({ int y = (x); \
  warn(__LINE__, y); \
  y; })
int warn(int, int);
/* A comment
   of "three
   lines. */
static const char *text = "a\
b";
int plain(int a)
{
  WARN(a); // ends with a backslash \
     and goes on
  return WARN
    (a);
}
int call(int a)
{
  plain(WARN(1),
        WARN(2));
  WARN(a +
       __LINE__ +
       __LINE__);
  return BLOCK(({
    WARN(3);
    a;
  }));
}
#if 1
int taken(void) { return __LINE__; }
#  if 0
int never(void) { return __LINE__; don't }
#  else
int other(void) { return __LINE__; }
#  endif
int again(void) { return __LINE__; }
#else
int skipped(void) { return __LINE__; }
#endif
char quote = '"', backslash = '\\';
int last(void) { return __LINE__; }
)";

TEST(LineSync, LeavesUntouchedTextAlone) { EXPECT_EQ(sync_lines(split(source)), source); }

TEST(LineSync, AddsNothingWhereCountsAreEqual) {
  Lines lines = split("1\n2\n3\n");
  lines[1] = {"two\n", 0};
  EXPECT_EQ(sync_lines(lines), "1\ntwo\n3\n");
}

TEST(LineSync, NumbersTheLineBehindAnAddedOne) {
  Lines lines = with_line_before(split("1\n2\n3\n"), 1, "new\n");
  EXPECT_EQ(sync_lines(lines), "1\nnew\n#line 2\n2\n3\n");
}

TEST(LineSync, NumbersTheLineBehindARemovedOne) {
  Lines lines = split("1\n2\n3\n4\n");
  lines.erase(lines.begin() + 1);
  EXPECT_EQ(sync_lines(lines), "1\n#line 3\n3\n4\n");
}

TEST(LineSync, ABlankLineAnywhereChangesNoNumber) {
  const Lines lines = split(source);
  const std::string wanted = preprocessed(source);
  for (std::size_t at = 0; at <= lines.size(); ++at) {
    bool continued = at > 0 && lines[at - 1].text.ends_with("\\\n");
    std::string synced = sync_lines(with_line_before(lines, at, continued ? "\\\n" : "\n"));
    EXPECT_EQ(preprocessed(synced), wanted) << "before line " << at + 1 << ":\n" << synced;
  }
}

TEST(LineSync, WithoutItsDirectivesItIsThePatchedText) {
  const Lines lines = split(source);
  for (std::size_t at = 0; at <= lines.size(); ++at) {
    Lines patched = with_line_before(lines, at, "int added;\n");
    std::string text;
    for (const NumberedLine& line : patched) {
      text += line.text;
    }
    const std::string synced = sync_lines(patched);
    std::string stripped;
    for (const NumberedLine& line : split(synced)) {
      stripped += line.text.starts_with("#line ") ? std::string_view{} : line.text;
    }
    EXPECT_EQ(stripped, text);
  }
}

TEST(LineSync, HoldsWhicheverGroupIsTaken) {
  constexpr std::string_view groups =
      "#if X\nint a = __LINE__;\n#elif Y\nint b = __LINE__;\n#else\n"
      "int c = __LINE__;\n#endif\nint d = __LINE__;\n";
  const Lines lines = split(groups);
  for (const char* choice : {"", "#define X 1\n", "#define Y 1\n"}) {
    std::string wanted = preprocessed(std::string(choice) + "#line 1\n" + std::string(groups));
    for (std::size_t at = 0; at < lines.size(); ++at) {
      std::string synced = sync_lines(with_line_before(lines, at, "\n"));
      EXPECT_EQ(preprocessed(std::string(choice) + "#line 1\n" + synced), wanted)
          << choice << "before line " << at + 1 << ":\n"
          << synced;
    }
  }
}

TEST(LineSync, TakesAFileWithoutAFinalNewline) {
  EXPECT_EQ(sync_lines(with_line_before(split("1\n2"), 0, "new\n")), "new\n#line 1\n1\n2");
}

}  // namespace
}  // namespace suture::source
