// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/hunk_place.h"

#include <gtest/gtest.h>

namespace suture::source {
namespace {

TEST(NamedBy, NamesFunctionsMacrosAndTypes) {
  EXPECT_EQ(named_by("static int foo(struct a *b, int c)"), "foo(");
  EXPECT_EQ(named_by("foo(struct a *b,"), "foo(");
  EXPECT_EQ(named_by("SYSCALL_DEFINE3(read, unsigned int, fd, char __user *, buf)"),
            "SYSCALL_DEFINE3(read");
  EXPECT_EQ(named_by("static __printf(1, 2) void say(const char *fmt, ...)"), "say(");
  EXPECT_EQ(named_by("static void __sched_notrace __schedule(unsigned int mode)"), "__schedule(");
  EXPECT_EQ(named_by("struct foo {"), "foo");
  EXPECT_EQ(named_by("static const struct file_operations foo_fops = {"), "foo_fops");
  EXPECT_EQ(named_by("EXPORT_SYMBOL_GPL(foo);"), "EXPORT_SYMBOL_GPL(foo;");
}

TEST(NamedBy, TellsADeclarationFromADefinition) {
  EXPECT_NE(named_by("static int foo(int a);"), named_by("static int foo(int a)"));
}

TEST(NamedBy, SaysNothingOfANameThatMayBeCutOff) {
  // GNU diff writes 40 bytes of the line, git 80.
  EXPECT_EQ(named_by("static const struct some_long_operations"), "");
  EXPECT_EQ(named_by("SYSCALL_DEFINE_WITH_A_LONG_NAME_X(long_n"), "");
}

std::vector<NumberedLine> lines_of(std::string_view text) {
  std::vector<NumberedLine> out;
  while (!text.empty()) {
    std::size_t size = text.find('\n') + 1;
    out.push_back({text.substr(0, size), out.size() + 1});
    text.remove_prefix(size);
  }
  return out;
}

TEST(Headings, AreFoundAsDiffFindsThem) {
  const auto lines =
      lines_of("static int foo(int a)\n{\n\treturn a;\nout:\n\treturn 0;\n}\n\nint b;\n");
  const Headings headings(lines);
  EXPECT_TRUE(headings.is_of("static int foo(int a)", 2));
  EXPECT_TRUE(headings.is_of("out:", 5));
  EXPECT_TRUE(headings.is_of("static int foo(int a)", 5)) << "git passes labels over";
  EXPECT_FALSE(headings.is_of("static int foo(int a)", 0)) << "only lines above count";
  EXPECT_TRUE(headings.is_of("int b;", 8));
  EXPECT_TRUE(headings.has("static int foo(long a)"));
  EXPECT_FALSE(headings.has("static int bar(int a)"));
}

TEST(Headings, MayBeCutOff) {
  const auto lines =
      lines_of("static ssize_t a_function_with_a_name_too_long_for_it(struct file *file)\n{\n}\n");
  const Headings headings(lines);
  EXPECT_TRUE(headings.is_of("static ssize_t a_function_with_a_name_to", 2));
  EXPECT_FALSE(headings.is_of("static ssize_t a_function_with_a_name_tx", 2));
}

}  // namespace
}  // namespace suture::source
