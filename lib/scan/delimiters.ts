/** The pair `{{ }}`, in a bit mask of pairs. */
export const CURLY = 1

/** The pair `<< >>`, in a bit mask of pairs. */
export const ANGLE = 2

/** Every pair that exists. */
export const ALL_PAIRS = CURLY | ANGLE
