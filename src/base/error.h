// SPDX-License-Identifier: GPL-2.0-or-later
//
// Errors are values. Everything below the command line returns Result<T>; only src/cli prints an
// error for a person and turns it into an exit code.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace suture {

// Stable codes. Their spelling (code_name) is part of the command line's contract: scripts match on
// it, docs/refusals.md explains each one, so a code may be added but never renamed.
enum class Code {
  // Refusals: a safe patch cannot be made of this input (exit 3).
  no_change,
  init_only,
  data_changed,
  layout_changed,
  not_traceable,
  run_pre_mismatch,
  export_changed,
  not_in_kernel,
  does_not_apply,
  does_not_compile,
  unsafe_path,
  unsupported_file,
  header_changed,
  module_static_key,
  symbol_unresolved,
  symbol_ambiguous,
  symbol_moved,
  special_section,
  too_many_symbols,
  thread_main,
  module_exit,
  init_needed,
  state_conflict,
  callback_conflict,
  // It is not for this kernel (exit 4).
  wrong_kernel,
  unsupported_kernel,
  config_mismatch,
  compiler_mismatch,
  // The transition is not complete (exit 5).
  transition_incomplete,
  // Wrong usage (exit 2).
  usage,
  // Failures (exit 1).
  bad_diff,
  bad_elf,
  bad_image,
  bad_module,
  bad_package,
  bad_config,
  bad_manifest,
  unknown_release,
  not_cached,
  missing_tool,
  package_failed,
  prepare_failed,
  io,
  no_space,
  interrupted,
  busy,
  child_failed,
  proof_failed,
  load_failed,
  not_loaded,
  no_livepatch,
  no_core,
  guest_failed,
  test_failed,
  not_permitted,
  not_on_trial,
  no_transition,
  bad_key,
  untrusted_file,
  not_installed,
  boot_guard,
  ftrace_off,
  broken_unit,
  fix_lost,
};

// The code as people and scripts see it, e.g. "does-not-apply".
std::string_view code_name(Code code);

// The exit code of the command-line contract: 1 failed, 2 usage, 3 refused, 4 wrong kernel,
// 5 transition incomplete.
int exit_code(Code code);

struct Error {
  Code code{};
  std::string where;   // function, section, file or file:line; may be empty
  std::string reason;  // one sentence, no trailing full stop
  std::string remedy;  // what to do next, in the imperative; may be empty only below the CLI's view
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(Code code, std::string where, std::string reason,
                                   std::string remedy = {}) {
  return std::unexpected(Error{code, std::move(where), std::move(reason), std::move(remedy)});
}

// Builds an Error for a failed system call: ENOSPC and EDQUOT become no-space, EACCES and EPERM
// not-permitted, the rest io. `what` names the operation ("write", "rename to /x"), `where` the
// path.
std::unexpected<Error> fail_errno(int err, std::string where, std::string_view what);

}  // namespace suture

// TRY(expr) yields the value of a Result, or returns its error from the enclosing function.
#define TRY(expr)                                             \
  ({                                                          \
    auto try_result_ = (expr);                                \
    if (!try_result_) {                                       \
      return std::unexpected(std::move(try_result_).error()); \
    }                                                         \
    ::suture::detail::take(std::move(try_result_));           \
  })

namespace suture::detail {
template <class T>
T take(std::expected<T, Error>&& result) {
  return std::move(*result);
}
inline void take(std::expected<void, Error>&& result) { (void)result; }
}  // namespace suture::detail
