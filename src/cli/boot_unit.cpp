// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/boot_unit.h"

#include "base/process.h"

namespace suture::cli {

namespace {

// sd_booted(3)
bool systemd_runs() {
  std::error_code ec;
  return fs::exists("/run/systemd/system", ec);
}

constexpr const char* unit = "suture.service";
constexpr const char* by_hand =
    "have the machine run `suture apply` at boot: systemctl enable suture.service";

}  // namespace

std::optional<bool> boot_unit_enabled() {
  if (!systemd_runs()) {
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

bool start_confirm_timer() {
  if (!systemd_runs()) {
    return false;
  }
  // This may be a part of the boot, whose other jobs the timer waits for.
  auto asked =
      suture::run({.argv = {"systemctl", "restart", "--no-block", "suture-confirm.timer"}});
  return asked && asked->exit_status == 0;
}

}  // namespace suture::cli
