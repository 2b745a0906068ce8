// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prove/reach.h"

namespace suture::prove {
namespace {

const Configuration config(
    "CONFIG_SMP=y\nCONFIG_EXT4_FS=m\nCONFIG_HZ=250\n# CONFIG_NUMA is not set\n"
    "CONFIG_NAME=\"a b\"\n");

std::string names_of(std::string_view text, ItemKind kind) {
  std::string out;
  for (const Item& item : read_c(text, config).items) {
    if (item.kind == kind) {
      out += (out.empty() ? "" : " ") + std::string(item.name) + (item.local ? "*" : "") +
             (item.certain ? "" : "?");
    }
  }
  return out;
}

std::string functions_of(std::string_view text) { return names_of(text, ItemKind::function); }

TEST(ProveText, NamesTheFunctionsThatAFileDefines) {
  EXPECT_EQ(functions_of("int f(void)\n{\n\treturn g();\n}\nstatic inline int h(int a) { return a; "
                         "}\nint declared(int);\nstruct s { int (*call)(int); };\n"
                         "struct s table = { .call = h };\nint array[] = { 1, 2 };\n"),
            "f h*");
}

TEST(ProveText, TakesAttributesForNoFunctions) {
  EXPECT_EQ(functions_of("static __printf(1, 2) void say(const char *f, ...)\n{\n}\n"
                         "__attribute__((cold)) int a(void) { }\n"
                         "static void b(struct c *c)\n\t__acquires(&c->lock)\n{\n}\n"),
            "say* a b*");
}

TEST(ProveText, NamesWhatAMacroDefinesByTheMacro) {
  EXPECT_EQ(functions_of("SYSCALL_DEFINE3(read, int, fd, char *, p, int, n)\n{\n\treturn 0;\n}\n"
                         "DEFINE_MUTEX(m)\nint f(void)\n{\n}\n"),
            "SYSCALL_DEFINE3(read f");
}

TEST(ProveText, FollowsWhatTheConfigurationDecides) {
  EXPECT_EQ(functions_of("#ifdef CONFIG_SMP\nint a(void) { }\n#else\nint b(void) { }\n#endif\n"
                         "#if IS_ENABLED(CONFIG_EXT4_FS) && !defined(CONFIG_NUMA)\n"
                         "int c(void) { }\n#elif 1\nint d(void) { }\n#endif\n"
                         "#if HZ >= 100 && BITS_PER_LONG == 32\nint e(void) { }\n#endif\n"
                         "#if IS_BUILTIN(CONFIG_EXT4_FS)\nint g(void) { }\n#endif\n"
                         "#if 0\nint h(void) {\n#endif\n#ifdef CONFIG_EXT4_FS_MODULE\n"
                         "int i(void) { }\n#endif\n"),
            "a c e i");
}

TEST(ProveText, ReadsBothBranchesOfWhatItDoesNotKnow) {
  EXPECT_EQ(functions_of("int z;\n#ifdef MODULE\nint a(void) { }\n#else\nint b(void) { }\n#endif\n"
                         "#ifdef OTHER\nint c(int x)\n#else\nint c(void)\n#endif\n{\n}\n"
                         "int d(void)\n{\n#ifdef OTHER\n\tif (x) {\n#else\n\t{\n#endif\n\t}\n}\n"
                         "int e(void) { }\n"),
            "a? b? c? d e");
}

TEST(ProveText, TakesAGuardForWhatItIs) {
  EXPECT_EQ(functions_of("/* x */\n#ifndef _X_H\n#define _X_H\nint a(void) { }\n#endif\n"), "a");
}

TEST(ProveText, IsNotMisledByStringsAndComments) {
  EXPECT_EQ(functions_of("int a(void)\n{\n\tf(\"}\", '}', '\\'', \"\\\"{\"); /* } */ // }\n}\n"
                         "/* int b(void) { } */\nint c(void) { }\n"),
            "a c");
}

TEST(ProveText, EndsWithTheText) {
  for (std::string_view text : {"int f(void) {", "#if (", "\"", "/*", "'", "#define", "#include <x",
                                "f(((", "#if 0\nint x", "}", ")", "#if defined(", "\\"}) {
    read_c(text, config);
    tokens_of(text);
    each_identifier(text, config, [](std::string_view, bool, bool) {});
  }
}

TEST(ProveText, TellsQuotesFromBrackets) {
  const FileText text =
      read_c("#include <linux/mm.h>\n# include \"internal.h\"\n#if 0\n#include \"no.h\"\n#endif\n",
             config);
  ASSERT_EQ(text.includes.size(), 2U);
  EXPECT_EQ(text.includes[0].spelled, "linux/mm.h");
  EXPECT_FALSE(text.includes[0].quoted);
  EXPECT_EQ(text.includes[1].spelled, "internal.h");
  EXPECT_TRUE(text.includes[1].quoted);
}

Difference between(std::string_view before, std::string_view after) {
  return difference_of(read_c(before, config), read_c(after, config));
}

TEST(ProveText, SeesNoDifferenceInCommentsAndBlanks) {
  EXPECT_TRUE(between("int f(void)\n{\n\treturn 1;\n}\n",
                      "/* new */\nint f(void) {\n\treturn /* one */ 1; }\n")
                  .nothing());
  EXPECT_TRUE(between("#if 0\nint f(void) { }\n#endif\nint g(void);\n", "int h(int);\n").nothing());
}

TEST(ProveText, NamesWhatDiffers) {
  const Difference found =
      between("#define A 1\n#define B 2\nint f(void) { return 1; }\nint g(void) { return 1; }\n",
              "#define A 1\n#define B 3\nint f(void) { return 2; }\nint g(void) { return 1; }\n");
  EXPECT_THAT(found.functions, testing::ElementsAre("f"));
  EXPECT_THAT(found.macros, testing::ElementsAre("B"));
  EXPECT_FALSE(found.rest);
  EXPECT_TRUE(between("struct s { int a; };", "struct s { long a; };").rest);
  EXPECT_TRUE(between("#include <a.h>\n", "#include <b.h>\n").rest);
}

}  // namespace
}  // namespace suture::prove
