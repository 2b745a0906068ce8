// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which branches of a file's conditions a kernel's configuration leaves out.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "source/c_text.h"

namespace suture::source {

// What kbuild makes of the configuration, and the header that brings it into each unit.
inline constexpr std::string_view configuration_header = "include/generated/autoconf.h";
inline constexpr std::string_view options_header = "include/linux/kconfig.h";

class Configuration {
 public:
  // `autoconf` is the text of the configuration's header. Nothing is known of a name that
  // `is_set_by_hand`: some file or command defines it, or takes it away.
  Configuration(std::string_view autoconf,
                std::function<bool(std::string_view name)> is_set_by_hand);

  // The text without what stands in branches that no unit reads; with its lines joined. Lines keep
  // their numbers.
  std::string without_excluded_branches(std::string text) const;

  // What the condition of an #if, #ifdef, #ifndef, #elif, ... is worth, where that is known.
  std::optional<bool> value(const Directive& directive) const;

 private:
  friend class ConditionReader;
  std::optional<bool> is_defined(std::string_view name) const;
  // IS_ENABLED(name)
  std::optional<bool> is_enabled(std::string_view name) const;

  std::map<std::string, std::string, std::less<>> values_;
  std::function<bool(std::string_view)> is_set_by_hand_;
};

// The name of a kernel option that the directive defines or takes away; empty where it does not.
std::string_view option_set_by(const Directive& directive);

}  // namespace suture::source
