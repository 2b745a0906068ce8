// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/error.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace suture {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::no_change: return "no-change";
    case Code::init_only: return "init-only";
    case Code::data_changed: return "data-changed";
    case Code::layout_changed: return "layout-changed";
    case Code::not_traceable: return "not-traceable";
    case Code::run_pre_mismatch: return "run-pre-mismatch";
    case Code::export_changed: return "export-changed";
    case Code::not_in_kernel: return "not-in-kernel";
    case Code::does_not_apply: return "does-not-apply";
    case Code::does_not_compile: return "does-not-compile";
    case Code::unsafe_path: return "unsafe-path";
    case Code::unsupported_file: return "unsupported-file";
    case Code::header_changed: return "header-changed";
    case Code::module_static_key: return "module-static-key";
    case Code::symbol_unresolved: return "symbol-unresolved";
    case Code::symbol_ambiguous: return "symbol-ambiguous";
    case Code::symbol_moved: return "symbol-moved";
    case Code::special_section: return "special-section";
    case Code::too_many_symbols: return "too-many-symbols";
    case Code::thread_main: return "thread-main";
    case Code::module_exit: return "module-exit";
    case Code::init_needed: return "init-needed";
    case Code::state_conflict: return "state-conflict";
    case Code::callback_conflict: return "callback-conflict";
    case Code::wrong_kernel: return "wrong-kernel";
    case Code::unsupported_kernel: return "unsupported-kernel";
    case Code::config_mismatch: return "config-mismatch";
    case Code::compiler_mismatch: return "compiler-mismatch";
    case Code::transition_incomplete: return "transition-incomplete";
    case Code::usage: return "usage";
    case Code::bad_diff: return "bad-diff";
    case Code::bad_elf: return "bad-elf";
    case Code::bad_image: return "bad-image";
    case Code::bad_module: return "bad-module";
    case Code::bad_package: return "bad-package";
    case Code::bad_config: return "bad-config";
    case Code::bad_manifest: return "bad-manifest";
    case Code::unknown_release: return "unknown-release";
    case Code::not_cached: return "not-cached";
    case Code::missing_tool: return "missing-tool";
    case Code::package_failed: return "package-failed";
    case Code::prepare_failed: return "prepare-failed";
    case Code::io: return "io";
    case Code::no_space: return "no-space";
    case Code::interrupted: return "interrupted";
    case Code::busy: return "busy";
    case Code::child_failed: return "child-failed";
    case Code::proof_failed: return "proof-failed";
    case Code::load_failed: return "load-failed";
    case Code::not_loaded: return "not-loaded";
    case Code::no_livepatch: return "no-livepatch";
    case Code::no_core: return "no-core";
    case Code::guest_failed: return "guest-failed";
    case Code::test_failed: return "test-failed";
    case Code::not_permitted: return "not-permitted";
    case Code::not_on_trial: return "not-on-trial";
    case Code::no_transition: return "no-transition";
    case Code::bad_key: return "bad-key";
    case Code::untrusted_file: return "untrusted-file";
    case Code::not_installed: return "not-installed";
    case Code::boot_guard: return "boot-guard";
    case Code::ftrace_off: return "ftrace-off";
    case Code::broken_unit: return "broken-unit";
    case Code::fix_lost: return "fix-lost";
  }
  return "unknown";
}

int exit_code(Code code) {
  switch (code) {
    case Code::no_change:
    case Code::init_only:
    case Code::data_changed:
    case Code::layout_changed:
    case Code::not_traceable:
    case Code::run_pre_mismatch:
    case Code::export_changed:
    case Code::not_in_kernel:
    case Code::does_not_apply:
    case Code::does_not_compile:
    case Code::unsafe_path:
    case Code::unsupported_file:
    case Code::header_changed:
    case Code::module_static_key:
    case Code::symbol_unresolved:
    case Code::symbol_ambiguous:
    case Code::symbol_moved:
    case Code::special_section:
    case Code::too_many_symbols:
    case Code::thread_main:
    case Code::module_exit:
    case Code::init_needed:
    case Code::state_conflict:
    case Code::callback_conflict: return 3;
    case Code::wrong_kernel:
    case Code::unsupported_kernel:
    case Code::config_mismatch:
    case Code::compiler_mismatch: return 4;
    case Code::transition_incomplete: return 5;
    case Code::usage: return 2;
    default: return 1;
  }
}

std::unexpected<Error> fail_errno(int err, std::string where, std::string_view what) {
  std::string reason = fmt::format("{}: {}", what, std::strerror(err));
  switch (err) {
    case ENOSPC:
    case EDQUOT:
      return fail(Code::no_space, std::move(where), std::move(reason),
                  "free some space on that file system and run the command again; "
                  "nothing half-written was kept");
    case EACCES:
    case EPERM:
    case EROFS:
      return fail(Code::not_permitted, std::move(where), std::move(reason),
                  ::geteuid() == 0
                      ? "root may not do this either: the file system is read-only, or "
                        "something protects the path"
                      : "run this as root, or use a path that is yours");
    case ENOENT: return fail(Code::io, std::move(where), std::move(reason), "check the path");
    case EINTR:
      return fail(Code::interrupted, std::move(where), std::move(reason), "run the command again");
    default:
      return fail(Code::io, std::move(where), std::move(reason),
                  "check the path and the file system, then run the command again");
  }
}

}  // namespace suture
