// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/boot_callers.h"

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/assembled.h"

namespace suture::match {
namespace {

using test::function;

class BootCallersOfModule : public test::Pair {
 protected:
  // Those of the names, separated by blanks, that only boot code calls.
  std::string boot_alone(std::string_view names) {
    BootCallers callers(run_);
    std::vector<std::string> all;
    std::set<std::uint64_t> asked;
    std::istringstream words{std::string(names)};
    for (std::string name; words >> name;) {
      all.push_back(name);
      asked.insert(address(name));
    }
    const std::set<std::uint64_t> found = callers.called_by_boot_alone(asked);
    std::string out;
    for (const std::string& name : all) {
      if (found.contains(address(name))) {
        out += (out.empty() ? "" : " ") + name;
      }
    }
    return out;
  }
};

TEST_F(BootCallersOfModule, FindsWhatInitCodeAloneCalls) {
  load("", {function("once", "ret", ".text") + function("often", "ret", ".text") +
            function("nobodys", "ret", ".text") + function("user", "call often; ret", ".text") +
            function("boot", "call once; call often; ret", ".init.text")});
  EXPECT_EQ(boot_alone("once often nobodys"), "once");
}

TEST_F(BootCallersOfModule, CountsPointersAsUsers) {
  load("", {function("given", "ret", ".text") + function("handed", "ret", ".text") +
            function("listed", "ret", ".text") +
            function("boot", "mov $handed, %rdi; call given; call handed; call listed; ret",
                     ".init.text") +
            ".data; p: .quad given; .section .init.data,\"aw\"; q: .quad listed\n"});
  EXPECT_EQ(boot_alone("given handed listed"), "");
}

TEST_F(BootCallersOfModule, FollowsThreeFunctionsAndNoMore) {
  load("", {function("fourth", "ret", ".text") + function("third", "call fourth; ret", ".text") +
            function("second", "call third; ret", ".text") +
            function("first", "call second; ret", ".text") + function("used", "ret", ".text") +
            function("user", "call used; ret", ".text") +
            function("boot", "call first; call used; ret", ".init.text")});
  EXPECT_EQ(boot_alone("first second third fourth used"), "first second third");
}

// What pads the function before a function often ends with four zeros: a distance to what follows.
TEST_F(BootCallersOfModule, TakesPaddingForNoReference) {
  load("", {function("f", "ret", ".text") + ".skip 15, 0\n" + function("once", "ret", ".text") +
            function("boot", "call once; ret", ".init.text")});
  EXPECT_EQ(boot_alone("once"), "once");
  load("", {function("f", ".skip 11, 0x90; .byte 0xe9; .long 0", ".text") +
            function("next", "ret", ".text") + function("boot", "call next; ret", ".init.text")});
  EXPECT_EQ(boot_alone("next"), "");
}

TEST_F(BootCallersOfModule, CountsAFunctionThatCallsItselfByItsOthers) {
  load("", {function("again", "jnz again; call again; ret", ".text") +
            function("boot", "call again; ret", ".init.text")});
  EXPECT_EQ(boot_alone("again"), "again");
}

TEST_F(BootCallersOfModule, TakesManyUsersForRunTimeCode) {
  load("", {function("f", "ret", ".text") + function("a", "call f; ret", ".text") +
            function("b", "call f; ret", ".text") + function("c", "call f; ret", ".text") +
            function("boot", "call a; call b; call c; ret", ".init.text")});
  EXPECT_EQ(boot_alone("a b c f"), "a b c");
}

}  // namespace
}  // namespace suture::match
