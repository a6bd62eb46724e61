// A colour for each category. Steps of the golden angle make neighbors in the list differ.

export const hue = (number, dark) =>
  number < 0 ? [140, 140, 140] : rgb((number * 137.508 + 165) % 360, 0.62 - (number % 3) * 0.12, (dark ? 0.64 : 0.45) + (Math.floor(number / 3) % 2) * 0.08);

function rgb(degrees, saturation, lightness) {
  const strength = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((place) => {
    const turn = (place + degrees / 30) % 12;
    return Math.round(255 * (lightness - strength * Math.max(-1, Math.min(turn - 3, 9 - turn, 1))));
  });
}

export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
