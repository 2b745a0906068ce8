// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/layouts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/process.h"
#include "elf/object.h"

namespace suture::patch {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The types of a C file that declares `types` and uses them by the name `it`.
kernel::TypeTable types_of(const std::string& types) {
  auto directory = TempDir::create(fs::temp_directory_path(), "layouts");
  fs::path source = directory->path() / "x.c";
  fs::path object = directory->path() / "x.o";
  EXPECT_TRUE(write_file(source, types));
  auto compiled = run(
      Command{.argv = {"gcc-12", "-gbtf", "-O2", "-c", "-o", object.string(), source.string()}});
  EXPECT_TRUE(compiled && compiled->exit_status == 0) << compiled->out;
  auto elf = elf::ObjectFile::open(object);
  return *kernel::TypeTable::parse(elf->section(".BTF")->data, "x.o");
}

std::vector<Error> judge(const std::string& before, const std::string& after) {
  return changed_layouts(types_of(before), types_of(after));
}

TEST(Layouts, SameTypesAreNotChanged) {
  EXPECT_THAT(judge("struct s { int a; char *b; } it;", "struct s { int a; char *b; } it;"),
              IsEmpty());
}

TEST(Layouts, AMemberThatIsAddedChangesTheType) {
  auto found = judge("struct s { int a; } it;", "struct s { int a; int b; } it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, Code::layout_changed);
  EXPECT_EQ(found[0].where, "struct s");
  EXPECT_THAT(found[0].reason, HasSubstr("its size goes from 4 to 8 bytes; b is at byte 4"));
  EXPECT_THAT(found[0].remedy, HasSubstr("shadow variable"));
}

TEST(Layouts, AMemberInPaddingChangesTheTypeThoughItsSizeStays) {
  auto found = judge("struct s { int a; long b; } it;", "struct s { int a; int c; long b; } it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].reason, HasSubstr("c is at byte 4 and is new"));
}

TEST(Layouts, AMemberThatMovesChangesTheType) {
  auto found = judge("struct s { int a; int b; } it;", "struct s { int b; int a; } it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].reason, HasSubstr("b is at byte 0 and was at byte 4"));
}

TEST(Layouts, AMemberOfAnotherTypeChangesTheType) {
  EXPECT_THAT(judge("struct s { int a; } it;", "struct s { unsigned a; } it;"), SizeIs(1));
}

TEST(Layouts, APointerToAnotherStructureChangesTheType) {
  EXPECT_THAT(judge("struct s { struct a *p; } it;", "struct s { struct b *p; } it;"), SizeIs(1));
}

TEST(Layouts, ABitFieldThatGrowsChangesTheType) {
  EXPECT_THAT(
      judge("struct s { int a : 3; int b : 2; } it;", "struct s { int a : 4; int b : 2; } it;"),
      SizeIs(1));
}

TEST(Layouts, AChangeInsideAnUnnamedMemberIsSeen) {
  EXPECT_THAT(judge("struct s { struct { int a; }; int z; } it;",
                    "struct s { union { int a; int b; }; int z; } it;"),
              SizeIs(1));
}

TEST(Layouts, AStructureThatOnlyATypedefNamesIsCompared) {
  auto found = judge("typedef struct { int a; } t; t it;", "typedef struct { int a, b; } t; t it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "typedef t");
}

TEST(Layouts, AVariableOfAnUnnamedStructureIsCompared) {
  auto found = judge("static struct { int a; char *b; } it[2]; char *f(int i) { return it[i].b; }",
                     "static struct { char *b; int a; } it[2]; char *f(int i) { return it[i].b; }");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, Code::layout_changed);
  EXPECT_EQ(found[0].where, "it");
  EXPECT_THAT(found[0].reason, HasSubstr("'struct 16 {a@0:int 4;b@64:*char 1;}'"));
}

TEST(Layouts, AVariableThatGetsAnotherTypeIsSeen) {
  auto found = judge("struct s { int a; }; struct t { int b; }; struct s *it;",
                     "struct s { int a; }; struct t { int b; }; struct t *it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].reason, HasSubstr("'*struct s' in it"));
}

TEST(Layouts, ANumberMayLoseItsSign) {
  EXPECT_THAT(judge("static int it; int f(void) { return it++; }",
                    "static unsigned it; int f(void) { return it++; }"),
              IsEmpty());
}

TEST(Layouts, AConstantTableMayBeOfAnotherType) {
  EXPECT_THAT(judge("static const struct { int a, b; } it[] = {{1, 2}, {3, 4}}; int f(int i) { "
                    "return it[i].b; }",
                    "static const struct { int b, a; } it[] = {{1, 2}, {3, 4}}; int f(int i) { "
                    "return it[i].b; }"),
              IsEmpty());
}

TEST(Layouts, OnlyTheTypeThatChangedIsNamed) {
  auto found = judge("struct in { int a; }; struct out { struct in *i; } it; struct in x;",
                     "struct in { long a; }; struct out { struct in *i; } it; struct in x;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "struct in");
}

TEST(Layouts, ATypeThatIsNewIsNoChange) {
  EXPECT_THAT(judge("int it;", "int it; struct s { int a; } other;"), IsEmpty());
}

TEST(Layouts, AValueThatIsAppendedIsNoChange) {
  EXPECT_THAT(judge("enum e { a, b } it;", "enum e { a, b, c } it;"), IsEmpty());
}

TEST(Layouts, TheLastValueMayCountTheOthers) {
  EXPECT_THAT(judge("enum e { a, b, count } it;", "enum e { a, b, c, count } it;"), IsEmpty());
}

TEST(Layouts, AValueThatPushesOthersAwayChangesTheEnumeration) {
  auto found = judge("enum e { a, b, c } it;", "enum e { a, x, b, c } it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].reason, HasSubstr("b is 2 and was 1"));
}

TEST(Layouts, UnnamedEnumerationsAreComparedByTheirNames) {
  auto found = judge("enum { a, b, c }; int it = b;", "enum { x, a, b, c }; int it = b;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "enum with a");
}

TEST(Layouts, OneOfSeveralTypesOfTheNameSuffices) {
  std::string both =
      "void f(void *); void g(void) { struct s { int a; } x = {1}; f(&x); }"
      "void h(void) { struct s { long a; } x = {1}; f(&x); }";
  EXPECT_THAT(judge(both, both), IsEmpty());
}

// What the kernel says of itself, in one table or several.
template <class... Tables>
std::optional<Error> judge_by_kernel(const std::string& pre, const Tables&... tables) {
  std::vector<kernel::TypeTable> run{types_of(tables)...};
  std::vector<const kernel::TypeTable*> pointers;
  for (const kernel::TypeTable& table : run) {
    pointers.push_back(&table);
  }
  return foreign_layout(types_of(pre), pointers);
}

TEST(ForeignLayout, TheKernelsOwnLayoutIsFine) {
  EXPECT_FALSE(judge_by_kernel("struct s { int a, b; } it;", "struct s { unsigned a, b; } it;"));
}

TEST(ForeignLayout, AnotherPlaceIsNot) {
  auto wrong =
      judge_by_kernel("struct s { int a; int b; } it;", "struct s { int a; int x; int b; } it;");
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->code, Code::run_pre_mismatch);
  EXPECT_EQ(wrong->where, "struct s");
}

TEST(ForeignLayout, AModulesTypeMayHaveTheNameOfAnotherOfVmlinux) {
  EXPECT_FALSE(judge_by_kernel("struct s { int a; } it;", "struct s { long other; } it;",
                               "struct s { int a; } it;"));
}

TEST(ForeignLayout, ATypeThatTheKernelDoesNotStateIsNotJudged) {
  EXPECT_FALSE(judge_by_kernel("struct mine { int a; } it;", "struct s { int a; } it;"));
}

// gcc names none of the values where one does not fit an int; another program names them.
TEST(ForeignLayout, AnEnumerationWithoutNamesIsNotJudged) {
  EXPECT_FALSE(judge_by_kernel("enum e { a = -1U, b = 1U << 31 } it;", "enum e { a, b } it;"));
}

TEST(Types, ACutOffTableIsBadElf) {
  Bytes bytes(40, 0x5a);
  auto table = kernel::TypeTable::parse(bytes, "x.o");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, Code::bad_elf);
}

}  // namespace
}  // namespace suture::patch
