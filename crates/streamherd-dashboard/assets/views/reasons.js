// Why an entry is a dead letter.

export const REASONS = {
  max_failures: "its handler failed too often",
  max_abandonments: "its workers died or lost it too often",
  rejected: "its handler said so",
  unparseable: "it could not be read",
  too_large: "it has too many fields or bytes",
};
