// SPDX-License-Identifier: GPL-2.0-or-later
//
// log_is_clean < LOG: prints the lines of a kernel's log that mean that something went wrong, and
// exits 1 where there are any; 2 where there is no log.
#include <iostream>
#include <string>

#include "vm/log_scan.h"

int main() {
  bool any = false;
  bool clean = true;
  for (std::string line; std::getline(std::cin, line); any = true) {
    if (suture::vm::is_suspicious(line)) {
      std::cout << line << '\n';
      clean = false;
    }
  }
  return !any ? 2 : clean ? 0 : 1;
}
