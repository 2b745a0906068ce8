// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/symvers.h"

#include <gtest/gtest.h>

namespace suture::kernel {
namespace {

TEST(Symvers, ReadsAllFields) {
  auto symvers = Symvers::parse(
      "0xdeadbeef\tprintk_now\tvmlinux\tEXPORT_SYMBOL\t\n"
      "0x00000012\tcrc_it\tdrivers/usb/gadget/usb-f-ncm\tEXPORT_SYMBOL_GPL\tUSB_NS\n",
      "Module.symvers");
  ASSERT_TRUE(symvers) << symvers.error().reason;
  EXPECT_EQ(symvers->size(), 2U);
  const Export* plain = symvers->find("printk_now");
  ASSERT_NE(plain, nullptr);
  EXPECT_EQ(plain->crc, 0xdeadbeefU);
  EXPECT_EQ(plain->module, "vmlinux");
  EXPECT_FALSE(plain->gpl_only);
  EXPECT_EQ(plain->name_space, "");
  const Export* module = symvers->find("crc_it");
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->crc, 0x12U);
  EXPECT_EQ(module->module, "usb_f_ncm");
  EXPECT_TRUE(module->gpl_only);
  EXPECT_EQ(module->name_space, "USB_NS");
  EXPECT_EQ(symvers->find("printk"), nullptr);
}

TEST(Symvers, LivesOnInACopy) {
  auto symvers = Symvers::parse("0x1\ta\tx/y-z\tEXPORT_SYMBOL\t\n", "Module.symvers");
  ASSERT_TRUE(symvers);
  const Symvers copy = *symvers;
  *symvers = Symvers();
  ASSERT_NE(copy.find("a"), nullptr);
  EXPECT_EQ(copy.find("a")->module, "y_z");
}

class BadSymvers : public testing::TestWithParam<const char*> {};

TEST_P(BadSymvers, IsBadConfig) {
  auto symvers = Symvers::parse(GetParam(), "Module.symvers");
  ASSERT_FALSE(symvers);
  EXPECT_EQ(symvers.error().code, Code::bad_config);
  EXPECT_FALSE(symvers.error().remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(Lines, BadSymvers,
                         testing::Values("",                                            //
                                         "0x1\ta\tvmlinux\tEXPORT_SYMBOL\t",            // cut off
                                         "0x1\ta\tvmlinux\n",                           //
                                         "0x1\ta\tvmlinux\tEXPORT_SYMBOL\t\t\n",        //
                                         "1\ta\tvmlinux\tEXPORT_SYMBOL\t\n",            //
                                         "0x\ta\tvmlinux\tEXPORT_SYMBOL\t\n",           //
                                         "0x1g\ta\tvmlinux\tEXPORT_SYMBOL\t\n",         //
                                         "0x123456789\ta\tvmlinux\tEXPORT_SYMBOL\t\n",  //
                                         "0x1\t\tvmlinux\tEXPORT_SYMBOL\t\n",           //
                                         "0x1\ta\t\tEXPORT_SYMBOL\t\n",                 //
                                         "0x1\ta\tnet/\tEXPORT_SYMBOL\t\n",             //
                                         "0x1\ta\tvmlinux\tEXPORTED\t\n",               //
                                         "0x1\ta\tvmlinux\tEXPORT_SYMBOL\t\n"
                                         "0x1\ta\tvmlinux\tEXPORT_SYMBOL\t\n"));

}  // namespace
}  // namespace suture::kernel
