// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "support/proven.h"

namespace suture::prove {
namespace {

using test::new_f;
using test::old_f;
using test::traced;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A small tree, and two modules of it: "tiny" is what the patch is made of.
class Whole : public test::Proving {
 protected:
  void SetUp() override {
    Proving::SetUp();
    write("f.c",
          "#include \"h.h\"\nint f(void)\n{\n\treturn 1;\n}\nint g(void)\n{\n\treturn h();\n}\n");
    write("h.h", "static inline int h(void)\n{\n\treturn 1;\n}\n");
    write("compat/f.c", "#include \"../f.c\"\n");
    write("d/user.c", "#include \"../h.h\"\nint used(void)\n{\n\treturn h();\n}\n");
    write("d/h.h", "int other;\n");
    write("d/beside.c", "#include \"h.h\"\nint beside(void)\n{\n\treturn 0;\n}\n");
    write("gone.c", "#include \"h.h\"\nint gone(void)\n{\n\treturn h();\n}\n");
  }

  fs::path tree() const { return directory_.path() / "tree"; }
  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(make_directories((tree() / path).parent_path()));
    ASSERT_TRUE(write_file(tree() / path, text));
  }
  // A module that is there beside the patched one.
  void ship(const std::string& name, const std::string& source) {
    modules_[name] = assemble(name, source);
  }

  const TreeIndex& index() {
    index_ = TreeIndex::open({.tree = tree(),
                              .arch = "x86",
                              .configuration = &scope_.configuration,
                              .image = &image_,
                              .modules = modules_},
                             directory_.path() / fmt::format("index{}", ++indices_))
                 .value();
    return index_;
  }

  // What the proof says of a patch of f.c where the diff changes these files.
  Proof proof_of(const std::vector<std::pair<std::string, std::string>>& edits) {
    const std::string g = traced("g", old_f);
    const std::string run = traced("f", old_f, ".text") + traced("g", old_f, ".text");
    const Bytes module = make(traced("f", old_f) + g, traced("f", new_f) + g, run);
    ship("tiny", run);
    scope_.tree = tree();
    scope_.index = &index();
    scope_.files.clear();
    for (const auto& [path, text] : edits) {
      scope_.files.push_back(
          {.path = path, .before = read_text(tree() / path).value(), .after = text});
    }
    Case wrong = about();
    wrong.scope = &scope_;
    return prove(module, wrong);
  }
  const std::pair<std::string, std::string> edit_of_f{
      "f.c",
      "#include \"h.h\"\nint f(void)\n{\n\treturn 2;\n}\nint g(void)\n{\n\treturn h();\n}\n"};
  const std::pair<std::string, std::string> edit_of_h{
      "h.h", "static inline int h(void)\n{\n\treturn 2;\n}\n"};

  Scope scope_;
  TreeIndex index_;
  std::map<std::string, fs::path, std::less<>> modules_;
  int indices_ = 0;
};

std::vector<std::string> carriers(const TreeIndex& index, std::string_view path) {
  std::vector<std::string> out;
  for (const std::uint32_t file : index.carriers(path)) {
    out.emplace_back(index.path(file));
  }
  return out;
}

TEST_F(Whole, FindsWhoIncludesWhat) {
  const TreeIndex& found = index();
  EXPECT_THAT(carriers(found, "f.c"), ElementsAre("compat/f.c", "f.c"));
  // A quoted name means what lies beside the file.
  EXPECT_THAT(carriers(found, "h.h"),
              ElementsAre("compat/f.c", "d/user.c", "f.c", "gone.c", "h.h"));
  EXPECT_THAT(carriers(found, "d/h.h"), ElementsAre("d/beside.c", "d/h.h"));
  EXPECT_TRUE(found.defined_beside("f", {}));
  EXPECT_FALSE(found.defined_beside("f", std::vector<std::string>{"f.c"}));
}

TEST_F(Whole, KeepsWhatItReadAndReadsItAgainWhereThatIsDamaged) {
  const fs::path kept = directory_.path() / "index1";
  index();
  const std::string whole = read_text(kept).value();
  TreeIndex::Kernel about{.tree = "/nowhere",
                          .arch = "x86",
                          .configuration = &scope_.configuration,
                          .image = &image_,
                          .modules = {}};
  EXPECT_THAT(carriers(TreeIndex::open(about, kept).value(), "d/h.h"),
              ElementsAre("d/beside.c", "d/h.h"));
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    ASSERT_TRUE(write_file(kept, whole.substr(0, size)));
    EXPECT_TRUE(TreeIndex::open(about, kept).value().carriers("f.c").empty());
  }
}

TEST_F(Whole, HasNothingToSayOfAPatchThatIs) {
  const Proof done = proof_of({edit_of_f});
  EXPECT_EQ(all(done), "");
  EXPECT_TRUE(done.unseen.empty());
}

TEST_F(Whole, IsNotClaimedWhereNoDiffIsKnown) {
  const Proof done =
      proof(make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text")));
  EXPECT_EQ(all(done), "");
  EXPECT_THAT(done.unseen, ElementsAre(HasSubstr("all objects")));
}

TEST_F(Whole, MissesTheOtherObjectOfAFileThatIsIncluded) {
  ship("compat", traced("f", old_f) + traced("g", old_f));
  EXPECT_THAT(all(proof_of({edit_of_f})),
              AllOf(HasSubstr("compat has functions of it"), HasSubstr("lacks compat/f.c")));
}

TEST_F(Whole, MissesAFileThatTheDiffChanges) {
  ship("user", traced("used", old_f));
  EXPECT_THAT(all(proof_of({edit_of_f,
                            {"d/user.c",
                             "#include \"../h.h\"\nint used(void)\n{\n\treturn 1 + h();\n}\n"}})),
              HasSubstr("lacks d/user.c"));
}

TEST_F(Whole, MissesTheUsersOfAHeaderThatAreInTheKernel) {
  EXPECT_EQ(all(proof_of({edit_of_f, edit_of_h})), "");
  ship("user", traced("used", old_f));
  EXPECT_THAT(all(proof_of({edit_of_f, edit_of_h})),
              AllOf(HasSubstr("d/user.c uses what changes"), ::testing::Not(HasSubstr("gone.c"))));
}

TEST_F(Whole, MissesASecondObjectOfWhatAHeaderReaches) {
  ship("second", traced("f", old_f) + traced("g", old_f));
  EXPECT_THAT(all(proof_of({edit_of_h})), HasSubstr("f.c: second has functions of it"));
}

TEST_F(Whole, CountsTheCopiesOfAHeadersFunction) {
  ship("user", traced("h", old_f));
  EXPECT_THAT(all(proof_of({edit_of_f, edit_of_h})), HasSubstr("user has functions of it"));
}

TEST_F(Whole, BelievesNoWordThatAFileIsAbsent) {
  ship("user", traced("used", old_f));
  scope_.absent = {"gone.c"};
  EXPECT_EQ(all(proof_of({edit_of_f})), "");
  scope_.absent = {"d/user.c"};
  EXPECT_THAT(all(proof_of({edit_of_f})), HasSubstr("said to be not in this kernel"));
}

TEST_F(Whole, SaysWhatItCannotTell) {
  write("d/nameless.c", "#include \"../h.h\"\nint f(void)\n{\n\treturn 0;\n}\n");
  const Proof done = proof_of(
      {edit_of_f, {"d/nameless.c", "#include \"../h.h\"\nint f(void)\n{\n\treturn 1;\n}\n"}});
  EXPECT_EQ(all(done), "");
  EXPECT_THAT(done.unseen, ::testing::Contains(HasSubstr("whether the kernel has d/nameless.c")));
  EXPECT_THAT(proof_of({edit_of_f, {"d/h.h", "long other;\n"}}).unseen,
              ElementsAre(HasSubstr("types, variables, includes")));
}

}  // namespace
}  // namespace suture::prove
