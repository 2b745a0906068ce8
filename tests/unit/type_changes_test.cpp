// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/type_changes.h"

#include <gtest/gtest.h>

#include <string>

namespace suture::source {
namespace {

std::string file_with(const std::string& body) {
  return "#include <x.h>\nstruct s {\n\tint a;\n};\n\nstatic int f(int x)\n{\n" + body +
         "\treturn x;\n}\n";
}

TEST(TypeChanges, AChangeInsideAFunctionIsNone) {
  EXPECT_FALSE(may_change_types(file_with(""), file_with("\tx = (struct s) { 1 }.a;\n")));
}

TEST(TypeChanges, AMemberOutsideIsOne) {
  std::string after = file_with("");
  after.insert(after.find("\tint a;"), "\tint b;\n");
  EXPECT_TRUE(may_change_types(file_with(""), after));
}

TEST(TypeChanges, AnInclusionIsOne) {
  EXPECT_TRUE(may_change_types(file_with(""), "#include <y.h>\n" + file_with("")));
}

TEST(TypeChanges, ADirectiveInAFunctionMayBeOne) {
  EXPECT_TRUE(may_change_types(file_with(""), file_with("#define A 1\n")));
}

TEST(TypeChanges, AChangeBesideAFunctionWithADirectiveIsNone) {
  const std::string other = "int g(void)\n{\n#ifdef A\n\tstruct t { int a; } y;\n#endif\n}\n";
  EXPECT_FALSE(may_change_types(other + file_with(""), other + file_with("\tx++;\n")));
  EXPECT_TRUE(may_change_types(other + file_with(""), other + file_with("#endif\n")));
}

TEST(TypeChanges, ATypeDefinedInAFunctionMayBeOne) {
  EXPECT_TRUE(may_change_types(file_with(""), file_with("\tstruct t { int a; } y;\n")));
  EXPECT_TRUE(may_change_types(file_with(""), file_with("\tenum\n\t{ a } y;\n")));
}

TEST(TypeChanges, AStructureInTheStyleOfAFunctionMayBeOne) {
  std::string before = "struct s __packed(x)\n{\n\tint a;\n};\n";
  EXPECT_TRUE(may_change_types(before, "struct s __packed(x)\n{\n\tlong a;\n};\n"));
}

TEST(TypeChanges, AFunctionThatNeverEndsMayBeOne) {
  EXPECT_TRUE(may_change_types("int f(void)\n{\n\treturn 1;\n", "int f(void)\n{\n\treturn 2;\n"));
}

TEST(TypeChanges, ANewFunctionIsTakenForOne) {
  EXPECT_TRUE(may_change_types(file_with(""), file_with("") + "int g(void)\n{\n}\n"));
}

}  // namespace
}  // namespace suture::source
