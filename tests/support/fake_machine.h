// SPDX-License-Identifier: GPL-2.0-or-later
//
// A directory that looks like the /sys, /proc, /run and /lib/modules of a machine.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "machine/sysfs.h"
#include "module/metadata.h"
#include "support/tiny_elf.h"

namespace suture::test {

inline constexpr const char* machine_build_id = "00112233445566778899aabbccddeeff00112233";

// A note as linkers write them, with that build-id.
inline Bytes build_id_note(const std::string& hex) {
  Bytes out{4,   0,   0,   0, static_cast<std::uint8_t>(hex.size() / 2), 0, 0, 0, 3, 0, 0, 0,
            'G', 'N', 'U', 0};
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

class FakeMachine : public testing::Test {
 protected:
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "suture-machine-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
    machine_ = machine::Machine{.sys = dir_.path() / "sys",
                                .proc = dir_.path() / "proc",
                                .log = dir_.path() / "kmsg",
                                .run = dir_.path() / "run",
                                .modules = dir_.path() / "modules",
                                .units = {dir_.path() / "units"}};
  }
  void put(const std::string& path, std::string_view text) {
    const fs::path file = dir_.path() / path;
    ASSERT_TRUE(make_directories(file.parent_path()));
    ASSERT_TRUE(write_file(file, text));
  }
  void make(const std::string& path) { ASSERT_TRUE(make_directories(dir_.path() / path)); }
  void add_patch(const std::string& name, const char* enabled, const char* transition) {
    put("sys/kernel/livepatch/" + name + "/enabled", enabled);
    put("sys/kernel/livepatch/" + name + "/transition", transition);
  }
  void add_function(const std::string& patch, const std::string& object, const std::string& entry,
                    const std::string& core = "livepatch") {
    make("sys/kernel/" + core + "/" + patch + "/" + object + "/" + entry);
    put("sys/kernel/" + core + "/" + patch + "/" + object + "/patched", "1\n");
  }
  // A patch of Suture's own core, which is loaded then.
  void add_core_patch(const std::string& name, const char* enabled, const char* transition,
                      const std::string& model, const std::string& blocking = "0\n") {
    add_core();
    const std::string directory = "sys/kernel/suture/" + name + "/";
    put(directory + "enabled", enabled);
    put(directory + "transition", transition);
    put(directory + "model", model + "\n");
    put(directory + "blocking", blocking);
    put(directory + "signal", "");
    put(directory + "pause_ns", "1500000\n");
    put(directory + "transition_ns", "2000000\n");
    put(directory + "settled", "1\n");
  }
  void add_core() {
    put("sys/kernel/suture/abi", "1\n");
    put("sys/kernel/suture/default_model", "hybrid\n");
    put("sys/module/suture/refcnt", "0\n");
  }
  void add_task(const std::string& pid, const std::string& tid, const char* state,
                const char* flags = "4194304") {
    const std::string task = "proc/" + pid + "/task/" + tid + "/";
    put(task + "patch_state", state);
    put(task + "comm", "worker\n");
    put(task + "status", "Name:\tworker\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t1\n");
    put(task + "stat",
        tid + " (a) b) S 1 7 7 0 -1 " + flags + " 0 0 0 0 1 2 3 4 20 0 1 0 4242 1000 10\n");
    put(task + "stack", "[<0>] pipe_read+0x12/0x40\n[<0>] vfs_read+0x1/0x2\n");
  }
  // A kernel that runs, of the release and build-id that module() is for.
  void run_kernel() {
    make("sys/kernel/livepatch");
    put("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
    put("sys/kernel/notes", as_text(build_id_note(machine_build_id)));
  }
  // A patch module for it, that replaces `function` of vmlinux.
  fs::path module(const std::string& function, const std::vector<std::string>& more = {}) {
    module::Metadata metadata{.name = "fix", .version = "3", .release = "6.1.0-56-amd64"};
    metadata.objects = {{.name = "vmlinux",
                         .build_id = machine_build_id,
                         .functions = {{.name = function, .source = "fs/f.c"}}}};
    std::vector<std::string> items = module::to_modinfo(metadata);
    const bool for_core = std::ranges::find(more, "suture.core=suture") != more.end();
    items.insert(items.end(), {"name=fix", for_core ? "suture=Y" : "livepatch=Y",
                               "vermagic=6.1.0-56-amd64 SMP"});
    items.insert(items.end(), more.begin(), more.end());
    return module_file("fix.ko", items);
  }
  // A module with these strings in its .modinfo.
  fs::path module_file(const std::string& path, const std::vector<std::string>& items) {
    std::string info;
    for (const std::string& item : items) {
      info += item + '\0';
    }
    // The start of struct module, with its name.
    std::string self = std::string(24, '\0') + "fix";
    self.resize(200);
    const Bytes bytes = tiny_elf(
        ET_REL,
        {{".modinfo", SHT_PROGBITS, SHF_ALLOC, 0, bytes_of(info)},
         {".gnu.linkonce.this_module", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, bytes_of(self)}},
        {{"f", 1}});
    put(path, as_text(bytes));
    return dir_.path() / path;
  }

  TempDir dir_;
  machine::Machine machine_;
};

}  // namespace suture::test
