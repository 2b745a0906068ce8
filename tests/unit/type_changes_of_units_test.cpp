// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "patch/compile_units.h"

namespace suture::patch {
namespace {

source::ChangedFile changed(const std::string& path, const std::string& after) {
  source::ChangedFile file;
  file.path = path;
  file.before = "struct s { int a; };\n";
  file.after = after;
  return file;
}

TEST(TypeChangesOfUnits, AUnitWhoseTypesMayChangeIsFoundHoweverKbuildSpellsIt) {
  Touched touched{.sources = {"virt/kvm/x.c"}};
  TypeChanges types = type_changes({changed("virt/kvm/x.c", "struct s { long a; };\n")}, touched);
  source::CompileCommand command{.source = "arch/x86/kvm/../../../virt/kvm/x.c"};
  EXPECT_TRUE(types.in(command.path()));
  EXPECT_FALSE(types.in("virt/kvm/y.c"));
}

TEST(TypeChangesOfUnits, WhatOthersIncludeMayChangeTypesEverywhere) {
  Touched touched{.sources = {"fs/a.c"}, .headers = {"fs/a.h"}};
  EXPECT_TRUE(type_changes({changed("fs/a.h", "struct s { long a; };\n")}, touched).in("fs/b.c"));
}

}  // namespace
}  // namespace suture::patch
