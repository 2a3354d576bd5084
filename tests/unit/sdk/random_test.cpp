#include "driftwood/random.hpp"

#include <gtest/gtest.h>

namespace driftwood::guest {
namespace {

TEST(GuestGenerator, GivesTheNumbersOfXoshiro256StarStar) {
  // The vectors of its authors' C code for the state 1, 2, 3, 4, as rand_xoshiro tests them too.
  Generator generator{{1, 2, 3, 4}};
  const std::uint64_t expected[] = {11520,
                                    0,
                                    1509978240,
                                    1215971899390074240,
                                    1216172134540287360,
                                    607988272756665600,
                                    16172922978634559625u,
                                    8476171486693032832,
                                    10595114339597558777u,
                                    2904607092377533576};
  for (const std::uint64_t number : expected) EXPECT_EQ(generator.next(), number);
}

TEST(GuestGenerator, SeedsItsStateBySplitmix64) {
  const Generator generator = Generator::seeded(1234567);
  EXPECT_EQ(generator.state[0], 6457827717110365317u);
  EXPECT_EQ(generator.state[1], 3203168211198807973u);
  EXPECT_EQ(generator.state[2], 9817491932198370423u);
  EXPECT_EQ(generator.state[3], 4593380528125082431u);
}

TEST(GuestGenerator, BelowIsTheHighWordOfTheProduct) {
  __extension__ using Wide = unsigned __int128;
  Generator bits = Generator::seeded(5);
  Generator bounded = bits;
  for (const std::uint64_t bound : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{10}, std::uint64_t{1} << 32,
                                    (std::uint64_t{1} << 58) + 12345, ~std::uint64_t{0}}) {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_EQ(bounded.below(bound), static_cast<std::uint64_t>(Wide{bits.next()} * bound >> 64));
    }
  }
}

TEST(GuestGenerator, CopyGoesOnAsTheOriginalDoes) {
  Generator original = Generator::seeded(9);
  original.next();
  Generator copy = original;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(copy.next(), original.next());
}

}  // namespace
}  // namespace driftwood::guest
