// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "support/tiny_elf.h"

namespace suture::boot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* release = "6.1.0-56-amd64";

class Installed : public ::testing::Test {
 protected:
  void SetUp() override {
    work_ = TempDir::create(fs::temp_directory_path(), "suture-store").value();
    fs::permissions(work_.path(), fs::perms(0755));
    store_ = {.directory = work_.path() / "store", .top = work_.path(), .owner = ::geteuid()};
    machine_ = {.sys = work_.path() / "sys",
                .proc = work_.path() / "proc",
                .modules = work_.path() / "modules"};
    write("proc/sys/kernel/osrelease", std::string(release) + "\n");
    write("proc/cmdline", "root=/dev/vda quiet\n");
    boot("one");
  }

  void write(const fs::path& path, const std::string& text) {
    ASSERT_TRUE(make_directories((work_.path() / path).parent_path()));
    ASSERT_TRUE(write_file(work_.path() / path, text));
  }
  void boot(const std::string& id) { write("proc/sys/kernel/random/boot_id", id + "\n"); }

  // A livepatch module that no kernel loads, but that can be installed.
  fs::path module(const std::string& name, const std::string& version = "1",
                  const std::string& replace = "1", const std::string& kernel = release,
                  const std::string& core = "livepatch") {
    std::string info;
    for (const std::string& item :
         {"name=" + name, core + "=Y", std::string("suture.format=1"), "suture.core=" + core,
          "suture.version=" + version, "suture.release=" + kernel, "suture.replace=" + replace}) {
      info += item + '\0';
    }
    const fs::path path = work_.path() / (name + ".ko");
    const Bytes bytes = test::tiny_elf(
        ET_REL, {{".modinfo", SHT_PROGBITS, SHF_ALLOC, 0, test::bytes_of(info)}}, {});
    EXPECT_TRUE(write_file(path, bytes));
    return path;
  }

  std::vector<std::string> names() {
    std::vector<std::string> out;
    const auto patches = installed_patches(store_, release).value();
    for (const InstalledPatch& patch : patches) {
      out.push_back(patch.name);
    }
    return out;
  }
  fs::path file(const std::string& name) const { return store_.of(release) / name; }
  Code verdict(const std::string& name) {
    const auto patches = installed_patches(store_, release).value();
    for (const InstalledPatch& patch : patches) {
      if (patch.name == name) {
        Status checked = check_installed(store_, release, patch);
        return checked ? Code::no_change : checked.error().code;
      }
    }
    return Code::not_installed;
  }

  TempDir work_;
  Store store_;
  machine::Machine machine_;
};

TEST_F(Installed, PatchesKeepTheirOrder) {
  ASSERT_TRUE(install(store_, module("b")) && install(store_, module("a")));
  EXPECT_THAT(names(), ElementsAre("b", "a"));
  EXPECT_EQ(verdict("a"), Code::no_change);
}

TEST_F(Installed, FilesAreOnlyTheirOwnersToWrite) {
  const mode_t before = ::umask(0);
  ASSERT_TRUE(install(store_, module("a")));
  ::umask(before);
  struct stat st {};
  ASSERT_EQ(::stat(file("a.ko").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0644U);
  ASSERT_EQ(::stat(store_.of(release).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0755U);
  ASSERT_EQ(::stat((store_.directory / "lock").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
}

TEST_F(Installed, TheSameFileTwiceIsOnce) {
  ASSERT_TRUE(install(store_, module("a")));
  EXPECT_TRUE(install(store_, module("a")).value().was_there);
  EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(Installed, AnotherFileOfTheNameTakesItsPlaceAtTheEnd) {
  ASSERT_TRUE(install(store_, module("a")) && install(store_, module("b")));
  EXPECT_FALSE(install(store_, module("a", "2")).value().was_there);
  EXPECT_THAT(names(), ElementsAre("b", "a"));
  EXPECT_EQ(verdict("a"), Code::no_change);
}

TEST_F(Installed, ACrashBeforeTheNewFileIsThereLeavesTheOldOneTrusted) {
  ASSERT_TRUE(install(store_, module("a")));
  const Bytes old = read_bytes(file("a.ko")).value();
  ASSERT_TRUE(install(store_, module("a", "2")));
  ASSERT_TRUE(write_file(file("a.ko"), old));
  EXPECT_EQ(verdict("a"), Code::no_change);
}

TEST_F(Installed, ACumulativePatchTakesOverFromThoseBeforeIt) {
  ASSERT_TRUE(install(store_, module("a", "1", "0")));
  EXPECT_THAT(install(store_, module("b")).value().superseded, ElementsAre("a"));
  EXPECT_THAT(install(store_, module("c", "1", "0")).value().superseded, IsEmpty());
}

TEST_F(Installed, ACumulativePatchTakesOverOnlyFromThoseOfItsCore) {
  ASSERT_TRUE(install(store_, module("a")));
  ASSERT_TRUE(install(store_, module("b", "1", "1", release, "suture")));
  EXPECT_THAT(install(store_, module("c")).value().superseded, ElementsAre("a"));
  EXPECT_EQ(installed_patches(store_, release).value().at(1).core, "suture");
}

TEST_F(Installed, APatchForSuturesCoreIsNotAppliedWithoutIt) {
  ASSERT_TRUE(install(store_, module("b", "1", "1", release, "suture")));
  const ApplyOutcome outcome = apply_installed(machine_, store_, {}).value();
  ASSERT_EQ(outcome.failures.size(), 1U);
  EXPECT_EQ(outcome.failures[0].code, Code::no_core);
}

TEST_F(Installed, TheCoreThatBootWouldLoadIsTheOwnersAlone) {
  const std::string core = "modules/" + std::string(release) + "/updates/suture.ko";
  auto missing = core_for_boot(machine_, store_, release);
  EXPECT_EQ(missing.error().code, Code::no_core);
  EXPECT_THAT(missing.error().remedy, HasSubstr("suture core build -k 6.1.0-56-amd64 -o "));
  write(core, "a module");
  EXPECT_EQ(core_for_boot(machine_, store_, release).value(), fs::canonical(work_.path() / core));
  ::chmod((work_.path() / core).c_str(), 0666);
  EXPECT_EQ(core_for_boot(machine_, store_, release).error().code, Code::untrusted_file);
  ::chmod((work_.path() / core).c_str(), 0644);
  ::chmod((work_.path() / "modules").c_str(), 0777);
  EXPECT_EQ(core_for_boot(machine_, store_, release).error().code, Code::untrusted_file);
}

TEST_F(Installed, TheCoreIsJudgedWhereALinkLeads) {
  const fs::path place = work_.path() / "modules" / release / "updates";
  write("elsewhere/suture.ko", "a module");
  ASSERT_TRUE(make_directories(place));
  fs::create_symlink(work_.path() / "elsewhere/suture.ko", place / "suture.ko");
  EXPECT_EQ(core_for_boot(machine_, store_, release).value().filename(), "suture.ko");
  ::chmod((work_.path() / "elsewhere").c_str(), 0777);
  EXPECT_EQ(core_for_boot(machine_, store_, release).error().code, Code::untrusted_file);
}

TEST_F(Installed, ABootIsNotConfirmedWhilePatchesAreApplied) {
  ASSERT_TRUE(install(store_, module("a")) && apply_installed(machine_, store_, {}));
  const FileLock applying = lock_store(store_).value();
  EXPECT_EQ(confirm(machine_, store_).error().code, Code::busy);
  EXPECT_TRUE(read_guard(store_, release).value().raised);
}

TEST_F(Installed, OneThatIsUninstalledIsGone) {
  ASSERT_TRUE(install(store_, module("a")) && install(store_, module("b")));
  ASSERT_TRUE(uninstall(store_, release, "a"));
  EXPECT_THAT(names(), ElementsAre("b"));
  EXPECT_FALSE(fs::exists(file("a.ko")));
  EXPECT_EQ(uninstall(store_, release, "a").error().code, Code::not_installed);
}

TEST_F(Installed, NothingOfAReleaseStaysWhenItsLastPatchIsUninstalled) {
  ASSERT_TRUE(install(store_, module("a")) && install(store_, module("b")));
  ASSERT_TRUE(uninstall(store_, release, "a"));
  EXPECT_TRUE(fs::exists(file("guard.json")));
  ASSERT_TRUE(uninstall(store_, release, "b"));
  EXPECT_FALSE(fs::exists(store_.of(release)));
}

TEST_F(Installed, OneThatIsForAnotherKernelIsNamedWithThat) {
  ASSERT_TRUE(install(store_, module("a")));
  const Error error = uninstall(store_, "6.0.0-other", "a").error();
  EXPECT_EQ(error.code, Code::not_installed);
  EXPECT_EQ(error.remedy, fmt::format("it is for {0}: suture uninstall -k {0} a", release));
}

TEST_F(Installed, APatchThatOthersMayWriteToIsNotTrusted) {
  ASSERT_TRUE(install(store_, module("a")));
  ::chmod(file("a.ko").c_str(), 0664);
  EXPECT_EQ(verdict("a"), Code::untrusted_file);
}

TEST_F(Installed, ADirectoryThatOthersMayWriteToIsNotTrusted) {
  ASSERT_TRUE(install(store_, module("a")));
  ::chmod(store_.directory.c_str(), 0777);
  auto patches = installed_patches(store_, release);
  ASSERT_FALSE(patches);
  EXPECT_EQ(patches.error().code, Code::untrusted_file);
  EXPECT_EQ(install(store_, module("b")).error().code, Code::untrusted_file);
}

TEST_F(Installed, AnotherOwnersFilesAreNotTrusted) {
  ASSERT_TRUE(install(store_, module("a")));
  store_.owner += 1;
  auto patches = installed_patches(store_, release);
  ASSERT_FALSE(patches);
  EXPECT_EQ(patches.error().code, Code::untrusted_file);
}

TEST_F(Installed, ASymbolicLinkIsNotTrusted) {
  ASSERT_TRUE(install(store_, module("a")));
  fs::rename(file("a.ko"), work_.path() / "elsewhere");
  fs::create_symlink(work_.path() / "elsewhere", file("a.ko"));
  EXPECT_EQ(verdict("a"), Code::untrusted_file);
}

TEST_F(Installed, AFileThatWasExchangedIsNotTrusted) {
  ASSERT_TRUE(install(store_, module("a")) && install(store_, module("b")));
  fs::copy_file(file("b.ko"), file("a.ko"), fs::copy_options::overwrite_existing);
  EXPECT_EQ(verdict("a"), Code::untrusted_file);
}

TEST_F(Installed, ANamedPipeIsNotWaitedFor) {
  ASSERT_TRUE(install(store_, module("a")));
  fs::remove(file("a.ko"));
  ASSERT_EQ(::mkfifo(file("a.ko").c_str(), 0644), 0);
  EXPECT_EQ(verdict("a"), Code::untrusted_file);
}

TEST_F(Installed, ADamagedListIsSaid) {
  ASSERT_TRUE(install(store_, module("a")));
  for (const char* text :
       {"", "{", "[]", R"({"schema":"1","patches":[]})", R"({"schema":{},"patches":[]})",
        R"({"schema":1,"patches":{}})", R"({"schema":1,"patches":[{"name":"../x"}]})",
        R"({"schema":1,"patches":[3]})"}) {
    ASSERT_TRUE(write_file(file("manifest.json"), std::string_view(text)));
    auto patches = installed_patches(store_, release);
    ASSERT_FALSE(patches) << text;
    EXPECT_EQ(patches.error().code, Code::bad_config);
  }
}

TEST_F(Installed, NamesThatLeadElsewhereAreRefused) {
  EXPECT_EQ(install(store_, module("a", "1", "1", "../etc")).error().code, Code::bad_module);
  EXPECT_FALSE(is_file_name("a/b") || is_file_name("..") || is_file_name(""));
}

TEST_F(Installed, AModuleThatIsNoLivepatchIsRefused) {
  write("x.ko", "no module");
  EXPECT_EQ(install(store_, work_.path() / "x.ko").error().code, Code::bad_module);
}

// What the machine's own kernel would do with them cannot be tried here: it is told why it is not
// asked.
TEST_F(Installed, NothingIsAppliedWithSutureOff) {
  ASSERT_TRUE(install(store_, module("a")));
  write("proc/cmdline", "quiet suture=off\n");
  EXPECT_THAT(apply_installed(machine_, store_, {}).value().nothing, HasSubstr("suture=off"));
  EXPECT_FALSE(read_guard(store_, release).value().raised);
}

TEST_F(Installed, PatchesForAnotherKernelAreNotApplied) {
  ASSERT_TRUE(install(store_, module("a", "1", "1", "6.1.0-57-amd64")));
  EXPECT_THAT(apply_installed(machine_, store_, {}).value().nothing,
              HasSubstr("there are patches for 6.1.0-57-amd64"));
}

TEST_F(Installed, AGuardThatThisBootRaisedHoldsNothingBack) {
  ASSERT_TRUE(install(store_, module("a")));
  EXPECT_FALSE(apply_installed(machine_, store_, {}).value().failures.empty());
  EXPECT_TRUE(read_guard(store_, release).value().raised);
  EXPECT_TRUE(apply_installed(machine_, store_, {}));
}

TEST_F(Installed, AGuardThatAnEarlierBootRaisedHoldsItsPatchesBack) {
  ASSERT_TRUE(install(store_, module("a")));
  ASSERT_TRUE(apply_installed(machine_, store_, {}));
  boot("two");
  auto outcome = apply_installed(machine_, store_, {});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::boot_guard);
  EXPECT_THAT(outcome.error().reason, HasSubstr("applied a"));
  EXPECT_TRUE(apply_installed(machine_, store_, {.retry = true}));
}

TEST_F(Installed, AGuardOverPatchesThatAreGoneHoldsNothingBack) {
  ASSERT_TRUE(install(store_, module("a")) && apply_installed(machine_, store_, {}));
  boot("two");
  ASSERT_TRUE(uninstall(store_, release, "a") && install(store_, module("b")));
  EXPECT_TRUE(apply_installed(machine_, store_, {}));
}

TEST_F(Installed, AConfirmedBootLowersTheGuard) {
  ASSERT_TRUE(install(store_, module("a")) && apply_installed(machine_, store_, {}));
  EXPECT_TRUE(confirm(machine_, store_).value());
  boot("two");
  EXPECT_TRUE(apply_installed(machine_, store_, {}));
}

TEST_F(Installed, ALaterBootCannotConfirmAnEarlierOne) {
  ASSERT_TRUE(install(store_, module("a")) && apply_installed(machine_, store_, {}));
  boot("two");
  EXPECT_FALSE(confirm(machine_, store_).value());
  EXPECT_FALSE(apply_installed(machine_, store_, {}));
}

TEST_F(Installed, AGuardThatWasCutOffCountsAsRaised) {
  ASSERT_TRUE(install(store_, module("a")));
  ASSERT_TRUE(write_file(file("guard.json"), std::string_view(R"({"raised": fal)")));
  EXPECT_EQ(apply_installed(machine_, store_, {}).error().code, Code::boot_guard);
}

TEST_F(Installed, AnOlderCumulativePatchStandsInForOneThatIsNotTrusted) {
  ASSERT_TRUE(install(store_, module("v1")) && install(store_, module("v2")));
  ::chmod(file("v2.ko").c_str(), 0666);
  const ApplyOutcome outcome = apply_installed(machine_, store_, {}).value();
  ASSERT_EQ(outcome.failures.size(), 2U);  // the second: this machine cannot load v1 either
  EXPECT_EQ(outcome.failures[0].code, Code::untrusted_file);
  EXPECT_NE(outcome.failures[1].code, Code::untrusted_file);
}

TEST_F(Installed, ABootAppliesTheLastCumulativePatchAndWhatCameAfterIt) {
  for (const auto& [name, replace] : {std::pair{"a", "1"}, {"x", "0"}, {"b", "1"}, {"y", "0"}}) {
    ASSERT_TRUE(install(store_, module(name, "1", replace)));
  }
  ASSERT_TRUE(install(store_, module("own", "1", "1", release, "suture")));
  const auto applied = [&] { return applied_at_boot(installed_patches(store_, release).value()); };
  EXPECT_THAT(applied(), ElementsAre("b", "y", "own"));
  ASSERT_TRUE(uninstall(store_, release, "b"));
  EXPECT_THAT(applied(), ElementsAre("a", "x", "y", "own"));
}

}  // namespace
}  // namespace suture::boot
