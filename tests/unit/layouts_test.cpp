// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/layouts.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/process.h"
#include "elf/object.h"

namespace suture::patch {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
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
  source::TypeNames names;
  names.add(before, after);
  return changed_layouts(types_of(before), types_of(after), names);
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
  auto found = judge("struct s *it;", "struct t *it;");
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

// What a diff renames and lays out anew in one go.
TEST(Layouts, AStructureThatGetsAnotherNameIsComparedWithWhatItWas) {
  auto found =
      judge("struct s { int a; char *b; } it;", "struct t { long x; int a; char *b; } it;");
  ASSERT_THAT(found, Not(IsEmpty()));
  EXPECT_EQ(found[0].code, Code::layout_changed);
  EXPECT_EQ(found[0].where, "struct s, now called struct t");
  EXPECT_THAT(found[0].reason, HasSubstr("its size goes from 16 to 24 bytes; x is at byte 0"));
}

TEST(Layouts, ANameAloneMayChange) {
  EXPECT_THAT(
      judge("struct s { struct s *next; int a; }; struct u { struct s *s; } it; int f(void) "
            "{ return it.s->a; }",
            "struct t { struct t *next; int a; }; struct u { struct t *s; } it; int f(void) "
            "{ return it.s->a; }"),
      IsEmpty());
}

// No variable or parameter is of it: what it is of comes from a void pointer.
TEST(Layouts, AStructureOfAnotherNameIsComparedWhereOnlyFunctionsUseIt) {
  auto found = judge("struct s { int a; int b; }; int f(void *p) { struct s *s = p; return s->b; }",
                     "struct t { long x; int a; int b; }; int f(void *p) { struct t *s = p; return "
                     "s->b; }");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].where, HasSubstr("now called struct t"));
}

TEST(Layouts, AStructureWithoutACommonMemberIsToldByTheCodeThatNamesIt) {
  EXPECT_THAT(judge("struct s { int a; }; int f(void *p) { struct s *s = p; return s->a; }",
                    "struct t { long b; }; int f(void *p) { struct t *s = p; return s->b; }"),
              SizeIs(1));
}

TEST(Layouts, AnotherStructureThatComesWhereOneGoesIsNew) {
  EXPECT_THAT(judge("struct s { int a; int b; }; int f(void *p) { struct s *s = p; return s->a; }",
                    "struct t { long x; }; int f(void *p) { struct t one = {1}; return one.x; }"),
              IsEmpty());
}

TEST(Layouts, ATypeOfAnUnchangedHeaderIsNotTheOldOne) {
  source::TypeNames names;  // neither is the diff's
  EXPECT_THAT(changed_layouts(types_of("struct s { int n; int m; } *one;"),
                              types_of("struct t { long n; long m; } *other;"), names),
              IsEmpty());
}

TEST(Layouts, ATypedefMayBecomeAStructure) {
  auto found =
      judge("typedef struct { int a, b; } s_t; int f(void *p) { s_t *s = p; return s->b; }",
            "struct s { int b, a; }; int f(void *p) { struct s *s = p; return s->b; }");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "typedef s_t, now called struct s");
}

TEST(Layouts, OfSeveralTypesTheOneThatFitsBestIsTheOldOne) {
  const std::string use =
      "int f(void *p) { struct t *t = p; return t->a; } int g(void *p) { struct u *u = p; return "
      "u->c; }";
  auto found = judge(
      "struct s { int a; int b; int c; }; int f(void *p) { struct s *t = p; return "
      "t->a; }",
      "struct u { long a; int b; long c; }; struct t { int a; int b; int c; };" + use);
  EXPECT_THAT(found, IsEmpty());
}

// Old objects come as the type that was there already.
TEST(Layouts, AStructureMayGiveWayToOneThatWasThere) {
  const std::string both = "struct t { long x; int a; }; int g(struct t *t) { return t->a; } ";
  const std::string old = "struct s { int a; }; int f(void *p) { struct s *s = p; return s->a; }";
  auto found = judge(both + old, both + "int f(void *p) { struct t *s = p; return s->a; }");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "struct s, now called struct t");
  EXPECT_THAT(judge(both + old, both + "int f(void *p) { struct t one = {1}; return one.a; }"),
              IsEmpty());
}

TEST(Layouts, OneStructureMayTakeThePlaceOfTwo) {
  EXPECT_THAT(judge("struct s { int a; }; struct t { int a; }; int f(void *p) { struct s *s = p; "
                    "return s->a; } int g(void *p) { struct t *t = p; return t->a; }",
                    "struct u { long x; int a; }; int f(void *p) { struct u *s = p; return s->a; } "
                    "int g(void *p) { struct u *t = p; return t->a; }"),
              SizeIs(2));
}

TEST(Layouts, AMacroMayGiveTheOtherName) {
  const std::string use = "int f(void *p) { struct s *s = p; return s->b; }";
  EXPECT_THAT(judge("struct s { int a; int b; };" + use,
                    "#define s t\nstruct s { long x; int a; int b; };" + use),
              SizeIs(1));
}

TEST(Layouts, AnEnumerationOfAnotherNameKeepsItsValues) {
  EXPECT_THAT(judge("enum e { a, b, c } it;", "enum f { a, b, c } it;"), IsEmpty());
  auto found = judge("enum e { a, b, c } it;", "enum f { x, a, b, c } it;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].where, HasSubstr("enum e, now called enum f"));
}

TEST(Layouts, ATypedefAndAStructureOfOneNameAreOneType) {
  auto found = judge("typedef struct { int a; } t; t it;", "struct t { long b; }; struct t that;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "typedef t, now called struct t");
}

TEST(Layouts, AStructureOfAnotherNameMayKeepAFewMembers) {
  auto found = judge("struct a { int p, q, r, s, u; } it;", "struct b { int p, q, z; } that;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "struct a, now called struct b");
}

TEST(Layouts, OneNewStructureIsOneOldOne) {
  EXPECT_THAT(judge("struct a { int x, y; } it; struct c { int x, y; } other;",
                    "struct b { int x, y, z; } that;"),
              SizeIs(1));
}

TEST(Layouts, ANameThatBeginsLikeARenamedOneIsAnother) {
  const std::string user = "struct ab { int y; }; struct u { struct ab *q; } w; struct ab z;";
  EXPECT_THAT(judge("struct a { int x; } it;" + user, "struct b { int x; } it;" + user), IsEmpty());
}

TEST(Layouts, AnEnumerationOfAnotherNameIsToldByItsValues) {
  auto found = judge("enum a { x, p, q, r } it;", "enum b { z, x, k, l } that;");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].where, HasSubstr("enum a, now called enum b"));
}

TEST(Layouts, AnEnumerationMayGetAName) {
  EXPECT_THAT(judge("enum { a, b, c }; int it = b;", "enum e { a, b, c }; enum e it = b;"),
              IsEmpty());
  EXPECT_THAT(judge("enum { a, b, c }; int it = b;", "enum e { x, a, b, c }; enum e it = b;"),
              SizeIs(1));
}

TEST(Layouts, ValuesThatAllGetOtherNamesAreToldByTheCodeThatNamesTheType) {
  EXPECT_THAT(judge("enum e { a, b, c }; enum e it; int f(void) { return it == b; }",
                    "enum f { x, y, z, w }; enum f it; int f(void) { return it == z; }"),
              SizeIs(1));
}

// What lies in a file's private data, say.
constexpr std::string_view holder =
    "struct file { void *private_data; };\nstruct a { int x; long y; };\n";
std::string reader(std::string_view type, std::string_view member) {
  return fmt::format(
      "long f(struct file *file)\n{{\n\tstruct {} *it = file->private_data;\n"
      "\treturn it->{};\n}}\n",
      type, member);
}

TEST(Layouts, PrivateDataThatIsReadAsAStructureAroundTheOldOneIsOfTheOldOne) {
  const std::string old(holder);
  auto found = judge(old + reader("a", "y"),
                     old + "struct b { long opened; struct a in; };\n" + reader("b", "in.y"));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, Code::layout_changed);
  EXPECT_EQ(found[0].where, "struct b");
  EXPECT_THAT(found[0].reason, HasSubstr("finds in file->private_data for a struct b, and the "
                                         "running kernel has put a struct a there"));
}

TEST(Layouts, PrivateDataMayBeReadAsAStructureOfTheSameLayout) {
  const std::string old(holder);
  EXPECT_THAT(judge(old + reader("a", "y"),
                    old + "struct b { int x; long y; };\nlong g(struct a *a) { return a->y; }\n" +
                        reader("b", "y")),
              IsEmpty());
  EXPECT_THAT(
      judge(old + reader("a", "y"), old + "struct b { struct a in; };\n" + reader("b", "in.y")),
      IsEmpty());
  EXPECT_THAT(judge(old + reader("a", "y"),
                    old + "struct b { struct a in; } __attribute__((aligned(64)));\n" +
                        reader("b", "in.y")),
              SizeIs(1));
}

TEST(Layouts, AStructureOfWhichEverythingGetsAnotherNameIsToldByThePrivateData) {
  auto found =
      judge(std::string(holder) + reader("a", "y"),
            "struct file { void *private_data; };\nstruct b { long new_one; int v; long w; };\n"
            "long f(struct file *file)\n{\n\tstruct b *other = file->private_data;\n"
            "\treturn other->w;\n}\n");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].where, "struct a, now called struct b");
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
