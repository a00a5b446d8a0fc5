/** Returns a promise of the ImageBitmap of a PNG file in base64. */
export function decode(content) {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}
