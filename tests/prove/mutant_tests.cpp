// SPDX-License-Identifier: GPL-2.0-or-later
//
// The proof must accuse every wrong module, and no good one. Good modules are built of edits to the
// newest stock kernel's own files, of every kind that the writer treats differently; wrong ones are
// made of them (mutate.h). A mutant that the loader would refuse does not count.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/process.h"
#include "patch/build.h"
#include "patch/proving.h"
#include "prove/edited.h"
#include "prove/mutate.h"

namespace suture {
namespace {

using test::Edit;

constexpr const char* once = "pr_info_once(\"suture: seen\\n\");";
constexpr const char* warn = "WARN_ON_ONCE(jiffies == 1);";
constexpr const char* bug = "BUG_ON(jiffies == 1);";
constexpr const char* count = "static int suture_seen; suture_seen++;";

constexpr const char* by_the_author =
    "#include <linux/seq_file.h>\n"
    "#include <suture.h>\n"
    "SUTURE_STATE(7, 3);\n"
    "static int begin(struct suture_object *object) { return suture_get_state(7) ? 0 : -EINVAL; }\n"
    "static void ready(struct suture_object *object) { pr_info(\"suture: ready\\n\"); }\n"
    "static void end(struct suture_object *object) { pr_info(\"suture: end\\n\"); }\n"
    "SUTURE_PRE_PATCH(begin);\n"
    "SUTURE_POST_PATCH(ready);\n"
    "SUTURE_POST_UNPATCH(end);\n";

constexpr Edit edits[] = {
    {"a string", "fs/proc/cmdline.c", nullptr, "seq_putc(m, '\\n');", "seq_puts(m, \" x\\n\");",
     true},
    {"callbacks and a state", "fs/proc/cmdline.c", nullptr, "#include <linux/seq_file.h>\n",
     by_the_author, true},
    {"BUG, alternatives and a .cold part", "kernel/fork.c", "copy_process", nullptr, bug, true},
    {"exception table entries", "kernel/sys.c", "prctl_set_mm", nullptr, warn},
    {"a system call without an entry call", "kernel/sys.c", "SYSCALL_DEFINE5(prctl", nullptr, bug},
    {"jump labels", "mm/page_alloc.c", "get_page_from_freelist", nullptr, count, true},
    {"tracepoints and static calls", "net/ipv4/tcp_ipv4.c", "tcp_v4_rcv", nullptr, warn},
    {"ambiguous names", "fs/namespace.c", "do_add_mount", nullptr, once, true},
    {"a message", "fs/exec.c", "begin_new_exec", nullptr, once},
    {"user copies", "fs/pipe.c", "pipe_read", nullptr, bug},
    {"user access in line", "fs/select.c", "do_select", nullptr, warn},
    {"static branches of the processor", "arch/x86/kernel/process.c", "__switch_to_xtra", nullptr,
     warn},
    {"a hot path", "net/ipv4/tcp_input.c", "tcp_rcv_established", nullptr, count},
    {"a signal", "kernel/signal.c", "do_sigaction", nullptr, warn},
    {"sockets", "net/core/sock.c", "sock_def_readable", nullptr, once},
    {"page faults", "mm/memory.c", "handle_mm_fault", nullptr, count},
    {"the block layer", "block/blk-mq.c", "blk_mq_submit_bio", nullptr, warn},
    {"a string of wide characters", "drivers/firmware/efi/efi.c", "efi_status_to_err", nullptr,
     "if (L\"Suture\"[status & 3] == status) return -EPERM;"},
    {"polling", "fs/eventpoll.c", "ep_poll", nullptr, bug},
    {"a module's function", "fs/isofs/namei.c", "isofs_lookup", nullptr, once, true},
    {"a module's locks", "fs/fat/namei_vfat.c", "vfat_create", nullptr, count},
    {"static keys of a module", "fs/ext4/fsync.c", "ext4_sync_file", nullptr, count, true},
    {"a large module", "fs/ext4/super.c", "ext4_statfs", nullptr, warn},
    {"a module of the network", "net/sctp/sm_statefuns.c", "sctp_sf_do_5_1B_init", nullptr, bug},
    {"a table that is copied", "net/sctp/debug.c", nullptr, "\"DATA\",", "\"DATA2\","},
    {"a header that two modules include", "fs/fat/fat.h", nullptr,
     "u8 attrs = MSDOS_I(inode)->i_attrs;",
     "u8 attrs = MSDOS_I(inode)->i_attrs | (inode->i_ino == 77 ? ATTR_SYS : 0);", true},
};

class Mutants : public ::testing::Test {
 protected:
  void SetUp() override {
    kernel_ = kernel::find("").value();
    image_ = kernel::Image::open(kernel_.vmlinux).value();
    directory_ = TempDir::create(kernel_.derived, "mutants").value();
  }

  std::vector<std::uint64_t> positions(const patch::Witness& witness, const std::string& object,
                                       const std::string& name) const {
    std::vector<std::uint64_t> out;
    if (object == "vmlinux") {
      for (std::uint32_t index : image_.symbols().find(name)) {
        out.push_back(image_.symbols().all()[index].address);
      }
      return out;
    }
    auto module = witness.about().find_module(object);
    for (std::uint32_t index : module ? (*module)->core_symbols() : std::vector<std::uint32_t>{}) {
      const elf::Symbol& symbol = (*module)->elf().symbols()[index];
      if (symbol.name == name) {
        out.push_back(std::uint64_t{symbol.section} << 32 | symbol.value);
      }
    }
    return out;
  }

  // Builds the edit, and gives what proves its module; null where there is none.
  std::unique_ptr<patch::Witness> try_good(const Edit& edit, module::Core core, Bytes& good) {
    const fs::path where = directory_.path() / std::to_string(++built_);
    const auto path = test::build_module(kernel_, edit, core, where);
    if (!path) {
      return nullptr;
    }
    auto witness = patch::Witness::open(kernel_, core, where / "objects").value();
    good = read_bytes(*path).value();
    const prove::Proof proof = prove::prove(good, witness->about());
    for (const Error& accusation : proof.accusations) {
      ADD_FAILURE() << edit.name << " is good: " << accusation.where << ": " << accusation.reason;
    }
    return witness;
  }

  void try_wrong(const Edit& edit, std::vector<test::Mutant> mutants,
                 const patch::Witness& witness) {
    for (test::Mutant& mutant : mutants) {
      const prove::Proof wrong = prove::prove(std::move(mutant.module), witness.about());
      if (!wrong.loads && !mutant.for_core) {
        ++not_loadable_;
        continue;
      }
      ++total_;
      ++caught_[mutant.kind];
      EXPECT_FALSE(wrong.accusations.empty())
          << edit.name << ": " << mutant.kind << " is not noticed: " << mutant.what;
    }
  }

  // A good module of each edit that is for that core, and all that can be made wrong of it.
  void try_edits(module::Core core) {
    for (const Edit& edit : edits) {
      Bytes good;
      const bool meant = core == module::Core::livepatch || edit.for_core;
      const auto witness = meant ? try_good(edit, core, good) : nullptr;
      if (witness == nullptr) {
        continue;
      }
      ++good_modules_;
      auto at = [&](const std::string& object, const std::string& name) {
        return positions(*witness, object, name);
      };
      try_wrong(edit, test::mutants_of(good, *witness->about().constants, at, random_), *witness);
      if (core == module::Core::suture) {
        try_wrong(edit, test::core_mutants_of(good, random_), *witness);
      }
    }
  }

  void expect_kinds(std::initializer_list<const char*> kinds) {
    for (const auto& [kind, number] : caught_) {
      fmt::print("{:>5} {}\n", number, kind);
    }
    fmt::print("{} mutants of {} modules, and {} that would not load\n", total_, good_modules_,
               not_loadable_);
    for (const char* kind : kinds) {
      EXPECT_GT(caught_[kind], 0) << kind;
    }
  }

  kernel::Kernel kernel_;
  kernel::Image image_;
  TempDir directory_;
  std::mt19937 random_{1};
  std::map<std::string, int> caught_;
  int built_ = 0;
  int total_ = 0;
  int not_loadable_ = 0;
  int good_modules_ = 0;
};

TEST_F(Mutants, AreAllAccusedAndNoGoodModuleIs) {
  try_edits(module::Core::livepatch);
  EXPECT_GE(good_modules_, 20);
  EXPECT_GE(total_, 500);
  expect_kinds({"swapped call", "swapped data", "changed addend", "wrong sympos", "changed byte",
                "dropped .cold", "dropped entry", "shifted entry", "dropped ORC", "shifted ORC",
                "changed ORC", "function left out", "crossed redirects", "dropped callback",
                "crossed callbacks", "another state"});
}

TEST_F(Mutants, ForSuturesCoreAreAllAccusedAndNoGoodModuleIs) {
  try_edits(module::Core::suture);
  EXPECT_GE(good_modules_, 8);
  expect_kinds({"crossed redirects",
                "crossed new functions",
                "crossed entries",
                "function left out",
                "wrong symbol address",
                "wrong sympos",
                "wrong size",
                "dropped .cold",
                "wrong addend",
                "wrong relocation type",
                "record of another symbol",
                "moved record",
                "record in a table",
                "dropped record",
                "thunk to another function",
                "thunk that keeps the return address",
                "dropped ORC of a thunk",
                "changed ORC of a thunk",
                "wrong image",
                "dropped callback",
                "another state"});
}

}  // namespace
}  // namespace suture
