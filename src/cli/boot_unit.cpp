// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/boot_unit.h"

#include "base/process.h"

namespace suture::cli {

namespace {

constexpr const char* unit = "suture.service";
constexpr const char* by_hand =
    "have the machine run `suture apply` at boot: systemctl enable suture.service";

}  // namespace

std::optional<bool> boot_unit_enabled() {
  std::error_code ec;
  if (!fs::exists("/run/systemd/system", ec)) {  // sd_booted(3)
    return std::nullopt;
  }
  auto asked = suture::run({.argv = {"systemctl", "is-enabled", "--quiet", unit}});
  return asked && asked->exit_status == 0;
}

Status enable_boot_unit() {
  TRY(run_checked({.argv = {"systemctl", "enable", "--quiet", unit}}, Code::child_failed, unit,
                  by_hand));
  return {};
}

}  // namespace suture::cli
