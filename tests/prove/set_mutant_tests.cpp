// SPDX-License-Identifier: GPL-2.0-or-later
//
// The proof must accuse every set of objects that is not whole. A good module is proven once more
// as if its diff had changed another file too, or as if one of its objects were not there, or
// another's, or with the word that a file is not in this kernel. That a file is in this kernel is
// told here by Module.symvers, apart from src/prove: it exports a function that the kernel exports.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

#include "kernel/symvers.h"
#include "kernel/units.h"
#include "patch/proving.h"
#include "prove/edited.h"

namespace suture {
namespace {

using test::Edit;

constexpr Edit base = {"a function of vmlinux", "fs/proc/version.c", nullptr, "utsname()->sysname,",
                       "\"Suture\","};
constexpr Edit in_header = {"an inline function of a private header", "fs/fat/fat.h", nullptr,
                            "u8 attrs = MSDOS_I(inode)->i_attrs;",
                            "u8 attrs = MSDOS_I(inode)->i_attrs | (inode->i_ino == 77 ? ATTR_SYS : "
                            "0);"};
// Header changes whose users are all missing.
constexpr Edit headers[] = {
    in_header,
    {"an inline function of ext4", "fs/ext4/ext4.h", nullptr,
     "return container_of(inode, struct "
     "ext4_inode_info, vfs_inode);",
     "return container_of(inode + 0, struct ext4_inode_info, "
     "vfs_inode);"},
    {"a macro of procfs", "fs/proc/internal.h", nullptr, "return PROC_I(inode)->pid;",
     "return READ_ONCE(PROC_I(inode)->pid);"},
    {"a macro of TCP", "include/net/tcp.h", nullptr, "#define TCP_DELACK_MIN\t((unsigned)(HZ/25))",
     "#define TCP_DELACK_MIN\t((unsigned)(HZ/20))"},
    {"a macro of the radeon driver", "drivers/gpu/drm/radeon/radeon.h", nullptr,
     "#define RADEON_FENCE_JIFFIES_TIMEOUT\t\t(HZ / 2)",
     "#define RADEON_FENCE_JIFFIES_TIMEOUT\t\t(HZ / 3)"},
    {"an inline function of radeon", "drivers/gpu/drm/radeon/radeon.h", nullptr, "if (ibc->kdata)",
     "if (ibc->kdata && idx >= 0)"},
};
// ... that nearly every file may include.
constexpr Edit wide_headers[] = {
    {"an inline function that everybody sees", "include/linux/skbuff.h", nullptr,
     "return skb->data_len;", "return READ_ONCE(skb->data_len);"},
    {"an inline function of dcache", "include/linux/dcache.h", nullptr,
     "return d_really_is_positive(dentry) && !d_unhashed(dentry);",
     "return !d_unhashed(dentry) && d_really_is_positive(dentry);"},
};

class Sets : public ::testing::Test {
 protected:
  void SetUp() override {
    kernel_ = kernel::find("").value();
    directory_ = TempDir::create(kernel_.derived, "sets").value();
    const kernel::Symvers symvers = kernel::Symvers::open(kernel_.symvers).value();
    for (const auto& [name, entry] : symvers.all()) {
      exported_.emplace(name);
    }
  }

  struct Good {
    Bytes module;
    std::unique_ptr<patch::Witness> witness;
  };
  Good make(const Edit& edit) {
    const fs::path where = directory_.path() / std::to_string(++built_);
    const auto path = test::build_module(kernel_, edit, module::Core::livepatch, where);
    if (!path) {
      return {};
    }
    Good good{read_bytes(*path).value(),
              patch::Witness::open(kernel_, module::Core::livepatch, where / "objects").value()};
    const prove::Proof proof = prove::prove(good.module, good.witness->about());
    for (const Error& accusation : proof.accusations) {
      ADD_FAILURE() << edit.name << " is good: " << accusation.where << ": " << accusation.reason;
    }
    return good;
  }

  // Functions that the kernel exports, with the one file each that defines and exports it.
  std::vector<std::pair<std::string, std::string>> files_in_kernel(std::size_t count) {
    std::vector<std::pair<std::string, std::string>> out;
    const std::vector<fs::path> files = all_files();
    std::map<std::string, int> exporters;
    for (const fs::path& file : files) {
      for (const std::string& name : exports_of(read_text(file).value_or(""))) {
        ++exporters[name];
      }
    }
    for (const fs::path& file : files) {
      const std::string text = read_text(file).value_or("");
      for (const std::string& name : exports_of(text)) {
        if (file.extension() == ".c" && exported_.contains(name) && exporters[name] == 1 &&
            defines_always(text, name)) {
          out.emplace_back(file.lexically_relative(kernel_.source).string(), name);
          break;
        }
      }
    }
    std::ranges::sort(out);
    std::ranges::shuffle(out, random_);
    out.resize(std::min(out.size(), count));
    return out;
  }
  // What C and assembly may be compiled of for one architecture or another.
  std::vector<fs::path> all_files() const {
    std::vector<fs::path> out;
    std::error_code ec;
    for (const char* top : {"arch", "fs", "init", "ipc", "kernel", "mm", "net", "lib", "block",
                            "crypto", "security", "sound", "virt", "drivers"}) {
      for (const auto& entry : fs::recursive_directory_iterator(kernel_.source / top, ec)) {
        if (entry.path().extension() == ".c" || entry.path().extension() == ".S") {
          out.push_back(entry.path());
        }
      }
    }
    return out;
  }
  static std::set<std::string> exports_of(const std::string& text) {
    std::set<std::string> out;
    for (std::size_t at = text.find("\nEXPORT_SYMBOL"); at != std::string::npos;
         at = text.find("\nEXPORT_SYMBOL", at + 1)) {
      const std::size_t open = text.find('(', at);
      out.insert(text.substr(open + 1, text.find(')', open) - open - 1));
    }
    return out;
  }
  // Whatever the configuration is.
  static bool defines_always(const std::string& text, const std::string& function) {
    const auto after = test::edited(text, {"", "", function.c_str(), nullptr, ""});
    if (!after) {
      return false;
    }
    const auto edit = std::ranges::mismatch(text, *after).in1;
    int conditions = 0;
    for (std::size_t at = text.find("\n#"); at < static_cast<std::size_t>(edit - text.begin());
         at = text.find("\n#", at + 1)) {
      const std::size_t word = text.find_first_not_of(" \t", at + 2);
      conditions += text.compare(word, 2, "if") == 0 ? 1 : 0;
      conditions -= text.compare(word, 5, "endif") == 0 ? 1 : 0;
    }
    return conditions == 0;
  }

  prove::Scope::File changed(const std::string& file, const Edit& edit) const {
    std::string text = read_text(kernel_.source / file).value();
    auto after = test::edited(text, edit);
    EXPECT_TRUE(after) << file;
    return {.path = file, .before = std::move(text), .after = after.value_or("")};
  }

  // It must be accused of what is missing, whatever else is said of it.
  void expect_accused(const Good& good, const prove::Case& wrong, const std::string& kind,
                      const std::string& what) {
    ++caught_[kind];
    const prove::Proof proof = prove::prove(good.module, wrong);
    const bool accused = std::ranges::any_of(proof.accusations, [](const Error& accusation) {
      return accusation.reason.contains("the patch lacks") ||
             accusation.reason.contains("does not account for") ||
             accusation.reason.contains("not in this kernel");
    });
    EXPECT_TRUE(accused) << kind << " is not noticed: " << what;
  }

  void try_header(const Good& good, const Edit& edit) {
    prove::Scope scope = *good.witness->about().scope;
    prove::Case wrong = good.witness->about();
    wrong.scope = &scope;
    scope.files.push_back(changed(edit.file, edit));
    expect_accused(good, wrong, "dropped users of a header", edit.file);
  }

  void try_sets(std::size_t files) {
    const Good one = make(base);
    const Good many = make(in_header);
    ASSERT_TRUE(one.witness && many.witness);
    for (const auto& [file, function] : files_in_kernel(files)) {
      prove::Scope scope = *one.witness->about().scope;
      prove::Case wrong = one.witness->about();
      wrong.scope = &scope;
      scope.files.push_back(
          changed(file, {"", "", function.c_str(), nullptr, "if (jiffies == 1) return;"}));
      expect_accused(one, wrong, "dropped unit", file);
      scope.files.pop_back();
      scope.absent.push_back(file);
      expect_accused(one, wrong, "lying note", file);
    }
    for (const Edit& edit : headers) {
      try_header(one, edit);
    }
    for (std::size_t i = 0; i < many.witness->about().units.size(); ++i) {
      prove::Case wrong = many.witness->about();
      wrong.units.erase(wrong.units.begin() + static_cast<std::ptrdiff_t>(i));
      const std::string source = many.witness->about().units[i].source;
      expect_accused(many, wrong, "dropped instance", source);
      wrong = many.witness->about();
      wrong.units[i].object = wrong.units[i].object == "fat" ? "vfat" : "fat";
      expect_accused(many, wrong, "another's unit", source);
    }
    int total = 0;
    for (const auto& [kind, number] : caught_) {
      fmt::print("{:>5} {}\n", number, kind);
      total += number;
    }
    EXPECT_GE(total, static_cast<int>(2 * files));
  }

  kernel::Kernel kernel_;
  TempDir directory_;
  std::set<std::string, std::less<>> exported_;
  std::mt19937 random_{1};
  std::map<std::string, int> caught_;
  int built_ = 0;
};

TEST_F(Sets, ThatAreNotWholeAreAccused) { try_sets(10); }

// What kbuild compiles for no object of this kernel is truly absent.
TEST_F(Sets, ManyFilesThatAreAbsentAreNotAccused) {
  const Good one = make(base);
  ASSERT_TRUE(one.witness);
  const auto units = kernel::Units::open(kernel_, [](std::string_view) {}).value();
  prove::Scope scope = *one.witness->about().scope;
  for (const fs::path& file : all_files()) {
    const std::string path = file.lexically_relative(kernel_.source).string();
    if (file.extension() == ".c" && units.of_source(path).empty() && !units.may_be_included(path)) {
      scope.absent.push_back(path);
    }
  }
  EXPECT_GT(scope.absent.size(), 1000U);
  prove::Case about = one.witness->about();
  about.scope = &scope;
  for (const Error& accusation : prove::prove(one.module, about).accusations) {
    ADD_FAILURE() << accusation.where << ": " << accusation.reason;
  }
}

TEST_F(Sets, ManyThatAreNotWholeAreAccused) {
  try_sets(200);
  const Good one = make(base);
  for (const Edit& edit : wide_headers) {
    try_header(one, edit);
  }
}

}  // namespace
}  // namespace suture
