// SPDX-License-Identifier: GPL-2.0-or-later
#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "guest/shared_memory.h"
#include "vm/guest.h"
#include "vm/initramfs.h"
#include "vm/libraries.h"
#include "vm/log_scan.h"
#include "vm/trial.h"

namespace suture::vm {
namespace {

class SuspiciousLine : public testing::TestWithParam<const char*> {};

TEST_P(SuspiciousLine, IsSeen) { EXPECT_TRUE(is_suspicious(GetParam())); }

INSTANTIATE_TEST_SUITE_P(
    LogScan, SuspiciousLine,
    testing::Values(
        "WARNING: CPU: 1 PID: 77 at kernel/fork.c:1 foo+0x1/0x2",
        "BUG: unable to handle page fault for address: ffffffffc0000000",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "kernel BUG at mm/slub.c:300!", "Oops: 0002 [#1] PREEMPT SMP PTI",
        "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
        "invalid opcode: 0000 [#1] PREEMPT SMP",
        "Call Trace:", "Kernel panic - not syncing: Fatal exception",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:1]",
        "INFO: task cat:99 blocked for more than 120 seconds.",
        "WARNING: possible circular locking dependency detected",
        "INFO: possible recursive locking detected", "WARNING: suspicious RCU usage",
        "refcount_t: underflow; use-after-free.",
        "list_add corruption. next->prev should be prev (x), but was y. (next=z).",
        "BUG: scheduling while atomic: sh/1/0x2", "UBSAN: array-index-out-of-bounds in fs/x.c:1:2",
        "BUG: KASAN: slab-out-of-bounds in foo"));

class HarmlessLine : public testing::TestWithParam<const char*> {};

TEST_P(HarmlessLine, IsPassedOver) { EXPECT_FALSE(is_suspicious(GetParam())); }

INSTANTIATE_TEST_SUITE_P(
    LogScan, HarmlessLine,
    testing::Values("livepatch: enabling patch 'fix'", "livepatch: 'fix': patching complete",
                    "fix: loading out-of-tree module taints kernel.",
                    "fix: tainting kernel with TAINT_LIVEPATCH",
                    "fix: module verification failed: signature and/or required key missing - "
                    "tainting kernel",
                    "livepatch: signaling remaining tasks", "random: crng init done",
                    "PCI: Using host bridge windows from ACPI", "EDAC DEBUG: init"));

class InitramfsTest : public testing::Test {
 protected:
  struct Read {
    mode_t mode = 0;
    std::string content;
  };
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "suture-cpio-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
  }
  fs::path put(const std::string& name, std::string_view text) {
    EXPECT_TRUE(write_file(dir_.path() / name, text, 0755));
    return dir_.path() / name;
  }
  // Everything in the archive, by name; the order of names goes to `order`.
  std::map<std::string, Read> round_trip(const Initramfs& files) {
    const fs::path path = dir_.path() / "archive";
    EXPECT_TRUE(files.write(path));
    std::map<std::string, Read> out;
    archive* reader = archive_read_new();
    archive_read_support_format_cpio(reader);
    EXPECT_EQ(archive_read_open_filename(reader, path.c_str(), 65536), ARCHIVE_OK);
    for (archive_entry* entry; archive_read_next_header(reader, &entry) == ARCHIVE_OK;) {
      Read read{.mode = archive_entry_mode(entry), .content = {}};
      if (const char* target = archive_entry_symlink(entry)) {
        read.content = target;
      } else {
        read.content.resize(static_cast<std::size_t>(archive_entry_size(entry)));
        archive_read_data(reader, read.content.data(), read.content.size());
      }
      order_.emplace_back(archive_entry_pathname(entry));
      out[order_.back()] = std::move(read);
    }
    EXPECT_EQ(archive_format(reader), ARCHIVE_FORMAT_CPIO_SVR4_NOCRC);
    archive_read_free(reader);
    return out;
  }
  std::size_t position(const std::string& name) const {
    return static_cast<std::size_t>(std::ranges::find(order_, name) - order_.begin());
  }

  TempDir dir_;
  std::vector<std::string> order_;
};

TEST_F(InitramfsTest, FilesLinksAndDirectoriesComeBack) {
  Initramfs files;
  files.add_bytes("/test/deep/data", Bytes{'a', 0, 'b'}, 0640);
  files.add_link("/bin/sh", "/bin/busybox");
  files.add_directory("/tmp");
  auto read = round_trip(files);
  EXPECT_EQ(read.at("test/deep/data").content, std::string("a\0b", 3));
  EXPECT_EQ(read.at("test/deep/data").mode, static_cast<mode_t>(S_IFREG | 0640));
  EXPECT_EQ(read.at("bin/sh").content, "/bin/busybox");
  EXPECT_TRUE(S_ISLNK(read.at("bin/sh").mode));
  EXPECT_TRUE(S_ISDIR(read.at("tmp").mode));
  EXPECT_TRUE(S_ISDIR(read.at("test/deep").mode));
}

TEST_F(InitramfsTest, DirectoriesComeBeforeWhatIsInThem) {
  Initramfs files;
  files.add_bytes("/z/y/x", Bytes{1}, 0644);
  round_trip(files);
  EXPECT_LT(position("z"), position("z/y"));
  EXPECT_LT(position("z/y"), position("z/y/x"));
}

TEST_F(InitramfsTest, ProgramBringsItsLoaderAndLibraries) {
  Initramfs files;
  ASSERT_TRUE(files.add_program("/bin/me", "/proc/self/exe"));
  EXPECT_TRUE(files.contains("/bin/me"));
  EXPECT_TRUE(files.contains("/lib/libc.so.6"));
  EXPECT_TRUE(files.contains("/lib64/ld-linux-x86-64.so.2"));
}

TEST_F(InitramfsTest, ScriptBringsAnInterpreterThatIsNotThere) {
  Initramfs files;
  files.add_link("/bin/sh", "/bin/busybox");
  ASSERT_TRUE(files.add_script("/test/a", put("a", "#!/bin/sh\nexit 0\n")));
  EXPECT_FALSE(files.contains("/lib/libc.so.6"));
  ASSERT_TRUE(files.add_script("/test/b", put("b", "#! /bin/bash -e\nexit 0\n")));
  EXPECT_TRUE(files.contains("/bin/bash"));
  EXPECT_TRUE(files.contains("/lib/libc.so.6"));
}

TEST_F(InitramfsTest, ScriptWithAnUnknownInterpreterFails) {
  Initramfs files;
  EXPECT_FALSE(files.add_script("/test/a", put("a", "#!/no/such/shell\n")));
}

TEST_F(InitramfsTest, BusyboxBringsItsCommands) {
  Initramfs files;
  ASSERT_TRUE(files.add_busybox());
  EXPECT_TRUE(files.contains("/bin/sh"));
  EXPECT_TRUE(files.contains("/bin/busybox"));
}

TEST_F(InitramfsTest, WhatIsBelowIsNotBroughtAgain) {
  Initramfs below;
  below.add_link("/bin/sh", "/bin/busybox");
  Initramfs files(&below);
  EXPECT_TRUE(files.contains("/bin/sh"));
  ASSERT_TRUE(files.add_script("/test/a", put("a", "#!/bin/sh\nexit 0\n")));
  EXPECT_FALSE(files.contains("/lib/libc.so.6"));
  EXPECT_FALSE(round_trip(files).contains("bin/sh"));
}

TEST_F(InitramfsTest, EachPartOfAnEntryCountsInTheHash) {
  const auto hash = [](const std::string& path, Bytes content, unsigned mode) {
    Initramfs files;
    files.add_bytes(path, std::move(content), mode);
    return files.sha256();
  };
  const std::string one = hash("/a", {1}, 0644);
  EXPECT_EQ(one, hash("/a", {1}, 0644));
  EXPECT_NE(one, hash("/b", {1}, 0644));
  EXPECT_NE(one, hash("/a", {2}, 0644));
  EXPECT_NE(one, hash("/a", {1}, 0755));
  Initramfs link;
  link.add_link("/a", "\1");
  EXPECT_NE(one, link.sha256());
}

TEST_F(InitramfsTest, AGuestUnpacksWhatTheHostPacked) {
  Initramfs files;
  files.add_bytes("/test/deep/data", Bytes{'a', 0, 'b'}, 0640);
  files.add_link("/bin/sh", "/bin/busybox");
  const fs::path archive = dir_.path() / "archive";
  ASSERT_TRUE(files.write(archive));
  const fs::path root = dir_.path() / "root";
  ASSERT_TRUE(make_directories(root / "test"));
  ASSERT_TRUE(write_file(root / "test/there", std::string_view("stays")));
  ASSERT_TRUE(guest::unpack_files(*read_bytes(archive), root));
  EXPECT_EQ(*read_text(root / "test/deep/data"), std::string("a\0b", 3));
  EXPECT_EQ(fs::status(root / "test/deep/data").permissions(), fs::perms(0640));
  EXPECT_EQ(fs::read_symlink(root / "bin/sh"), "/bin/busybox");
  EXPECT_EQ(*read_text(root / "test/there"), "stays");
}

TEST_F(InitramfsTest, ACutOffArchiveIsNotUnpackedInSilence) {
  Initramfs files;
  files.add_bytes("/data", Bytes(5000, 'x'), 0644);
  const fs::path archive = dir_.path() / "archive";
  ASSERT_TRUE(files.write(archive));
  const Bytes bytes = *read_bytes(archive);
  for (std::size_t size : {std::size_t{0}, std::size_t{50}, std::size_t{2000}}) {
    auto unpacked = guest::unpack_files(ByteView(bytes).first(size), dir_.path());
    ASSERT_FALSE(unpacked) << size;
    EXPECT_EQ(unpacked.error().code, Code::guest_failed);
  }
}

// A directory like /sys/bus/pci/devices, whose devices are files.
class SharedMemoryTest : public InitramfsTest {
 protected:
  void add_device(const std::string& name, const std::string& vendor, const std::string& device,
                  std::string_view memory) {
    const fs::path at = dir_.path() / "devices" / name;
    ASSERT_TRUE(make_directories(at));
    ASSERT_TRUE(write_file(at / "vendor", vendor + "\n"));
    ASSERT_TRUE(write_file(at / "device", device + "\n"));
    ASSERT_TRUE(write_file(at / "resource2", memory));
  }
};

TEST_F(SharedMemoryTest, IsFoundAmongOtherDevices) {
  add_device("0000:00:01.0", "0x8086", "0x1237", "");
  add_device("0000:00:02.0", "0x1af4", "0x1110", std::string(8192, '\0'));
  auto memory = guest::SharedMemory::open(dir_.path() / "devices");
  ASSERT_TRUE(memory);
  EXPECT_FALSE(memory->has_files());
}

TEST_F(SharedMemoryTest, AGuestWithoutTheDeviceSaysSo) {
  add_device("0000:00:01.0", "0x8086", "0x1237", "");
  auto memory = guest::SharedMemory::open(dir_.path() / "devices");
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, Code::guest_failed);
}

TEST_F(SharedMemoryTest, MoreFilesThanItHoldsAreRefused) {
  guest::HandedOver header{.mark = guest::handed_over_mark, .size = 8192};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.resize(8192);
  add_device("0000:00:02.0", "0x1af4", "0x1110", bytes);
  auto memory = guest::SharedMemory::open(dir_.path() / "devices");
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->has_files());
  EXPECT_FALSE(memory->receive(dir_.path()));
}

TEST_F(InitramfsTest, UnwritableArchiveIsAnError) {
  EXPECT_FALSE(Initramfs{}.write(dir_.path() / "no" / "such" / "directory"));
}

TEST(Libraries, FindsWhatThisProgramNeeds) {
  auto needed = needed_files("/proc/self/exe");
  ASSERT_TRUE(needed);
  EXPECT_FALSE(needed->interpreter.empty());
  EXPECT_TRUE(needed->libraries.contains("libc.so.6"));
  EXPECT_TRUE(needed->libraries.contains("libarchive.so.13"));
  // Not asked for by this program itself, but by libarchive.
  EXPECT_TRUE(needed->libraries.contains("libxml2.so.2"));
  for (const auto& [name, file] : needed->libraries) {
    EXPECT_TRUE(fs::is_regular_file(file)) << name;
  }
}

TEST(Libraries, StaticProgramNeedsNothing) {
  auto needed = needed_files("/bin/busybox");
  ASSERT_TRUE(needed);
  EXPECT_TRUE(needed->interpreter.empty());
  EXPECT_TRUE(needed->libraries.empty());
}

TEST(Libraries, MissingLibraryIsNamed) {
  auto needed = needed_files("/proc/self/exe", {"/nonexistent"});
  ASSERT_FALSE(needed);
  EXPECT_EQ(needed.error().code, Code::missing_tool);
}

TEST(Libraries, WhatIsNoProgramIsBadElf) {
  auto needed = needed_files("/etc/passwd");
  ASSERT_FALSE(needed);
  EXPECT_EQ(needed.error().code, Code::bad_elf);
}

TEST(Guest, ConsoleTailGivesWholeLastLines) {
  EXPECT_EQ(console_tail("one\r\ntwo\r\nthree\r\n\r\n", 2), "two\nthree");
  EXPECT_EQ(console_tail("one", 5), "one");
  EXPECT_EQ(console_tail("", 5), "");
}

TEST(Trial, TargetsNeedTheKernelsModules) {
  EXPECT_TRUE(load_order("", {}).has_value());
  auto order = load_order("", {"ext4"});
  ASSERT_FALSE(order);
  EXPECT_EQ(order.error().code, Code::usage);
}

}  // namespace
}  // namespace suture::vm
