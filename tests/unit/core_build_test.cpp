// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/core_build.h"

#include <gmock/gmock.h>

namespace suture::module {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(CoreBuild, IsRefusedByTheNamesOfWhatTheKernelLacks) {
  TempDir directory = TempDir::create(fs::temp_directory_path(), "suture-test").value();
  kernel::Kernel kernel{.release = "6.1.0-bare",
                        .config = directory.path() / "config",
                        .derived = directory.path() / "derived"};
  ASSERT_TRUE(write_file(kernel.config,
                         "# Linux/x86 6.1.192 Kernel Configuration\nCONFIG_KALLSYMS=y\n"
                         "CONFIG_SMP=y\nCONFIG_SYSFS=y\nCONFIG_TRACEPOINTS=y\n"
                         "CONFIG_HAVE_RELIABLE_STACKTRACE=y\n# CONFIG_KPROBES is not set\n"));
  auto core = load_core(kernel);
  ASSERT_FALSE(core);
  EXPECT_EQ(core.error().code, Code::unsupported_kernel);
  EXPECT_THAT(core.error().reason,
              HasSubstr("CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, CONFIG_KPROBES,"));
  EXPECT_THAT(core.error().reason, Not(HasSubstr("CONFIG_SMP")));
}

}  // namespace
}  // namespace suture::module
