/** Says that what the visitor did has failed. */
export function Problem({ of: { isError } }: { of: { readonly isError: boolean } }) {
  return (
    <p className="problem" role="alert">
      {isError && "That did not reach the server. Try again."}
    </p>
  );
}
